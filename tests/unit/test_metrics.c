// SPDX-License-Identifier: GPL-2.0-only
/* test_metrics.c - the Prometheus text: lines, labels, histogram; addresses. */
#include <asm/byteorder.h>
#include <stdlib.h>
#include "rows.h"
#include "base/http.h"
#include "report/metrics.h"

static struct metrics_prefix prefixes[] = {
	{ .cidr = { .addr = { 4, { __constant_htonl(0x0a000000) } },
		    .plen = 8 },
	  .list = MASQ_L_DST,
	  .action = MASQ_KEEP,
	  .count = { { 1, 100 }, { 2, 200 }, 3 },
	  .unreplied = 4 },
	{ .cidr = { .addr = { 4, { __constant_htonl(0x0a000000) } },
		    .plen = 8 },
	  .list = MASQ_L_KEEP_SOURCE,
	  .action = MASQ_KEEP,
	  .count = { { 5, 500 }, { 0, 0 }, 6 } },
	{ .list = MASQ_L_DST,
	  .action = MASQ_MASQUERADE,
	  .count = { { 18446744073709551615ULL, 7 }, { 8, 9 }, 10 } },
};

static char *text_of(const struct metrics *metrics,
		     const struct metrics_state *state)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	assert_non_null(file);
	metrics_write(file, metrics, state);
	assert_int_equal(fclose(file), 0);
	return text;
}

static struct metrics filled(void)
{
	struct metrics m = { .prefixes = prefixes,
			     .prefix_count = ROWS(prefixes),
			     .flows = { 262144, { 1, 2, 3, 4, 5, 6 } },
			     .flows_limit = 16777216,
			     .budget_limit = { 10, 10, 10, 7, 7, 7 },
			     .port_utilization = 0.25,
			     .generation = 7 };

	for (int i = 0; i < MASQ_S_MAX; i++)
		m.stats[i] = 1000 + i;
	for (int i = 0; i < 8; i++)
		m.stats[MASQ_S_TRIES_1 + i] = 1 << i;
	m.stats[MASQ_S_TRIES_SUM] = 4321;
	m.stats[MASQ_R_NO_PORT] = 77;
	return m;
}

/* Each is a whole line. */
static const char *const lines[] = {
	"masqbpf_prefix_packets_total{prefix=\"10.0.0.0/8\",action=\"keep\","
	"direction=\"egress\"} 1",
	"masqbpf_prefix_packets_total{prefix=\"10.0.0.0/8\",action=\"keep\","
	"direction=\"ingress\"} 2",
	"masqbpf_prefix_bytes_total{prefix=\"10.0.0.0/8\",action=\"keep\","
	"direction=\"ingress\"} 200",
	"masqbpf_prefix_flows_total{prefix=\"10.0.0.0/8\",action=\"keep\"} 3",
	"masqbpf_unreplied_flows{prefix=\"10.0.0.0/8\",action=\"keep\"} 4",
	"masqbpf_prefix_flows_total{prefix=\"source 10.0.0.0/8\","
	"action=\"keep\"} 6",
	"masqbpf_prefix_packets_total{prefix=\"other\",action=\"masquerade\","
	"direction=\"egress\"} 18446744073709551615",
	"masqbpf_flows 262144",
	"masqbpf_flows_limit 16777216",
	"masqbpf_budget_flows{family=\"ipv4\",action=\"masquerade\"} 1",
	"masqbpf_budget_flows{family=\"ipv4\",action=\"inbound\"} 3",
	"masqbpf_budget_flows{family=\"ipv6\",action=\"keep\"} 5",
	"masqbpf_budget_limit{family=\"ipv4\",action=\"keep\"} 10",
	"masqbpf_budget_limit{family=\"ipv6\",action=\"keep\"} 7",
	"masqbpf_drops_total{reason=\"no_port\"} 77",
	"masqbpf_port_search_tries_bucket{le=\"1\"} 1",
	"masqbpf_port_search_tries_bucket{le=\"2\"} 3",
	"masqbpf_port_search_tries_bucket{le=\"64\"} 127",
	"masqbpf_port_search_tries_bucket{le=\"+Inf\"} 255",
	"masqbpf_port_search_tries_sum 4321",
	"masqbpf_port_search_tries_count 255",
	"masqbpf_snat_port_utilization_ratio 0.25",
	"masqbpf_config_generation 7",
	"masqbpf_config_last_reload_successful 1",
	"masqbpf_config_last_reload_success_timestamp_seconds 1795447396",
	"masqbpf_config_stale 0",
	"masqbpf_attached{interface=\"eth0\",hook=\"tcx\"} 1",
	"masqbpf_attached{interface=\"a\\\"b\\\\c\\\\x0ad\",hook=\"none\"} 0",
	"masqbpf_foreign_nat_detected 2",
};

static const struct metrics_uplink uplinks[] = {
	{ "eth0", "tcx", true },
	{ "a\"b\\c\nd", "none", false },
};

static void every_line(void **state)
{
	const struct metrics_state s = { .reload_ok = true,
					 .reload_time = 1795447396,
					 .foreign_nat = 2,
					 .uplinks = uplinks,
					 .uplink_count = ROWS(uplinks) };
	struct metrics m = filled();
	char *text = text_of(&m, &s), line[512];

	(void)state;
	for (size_t i = 0; i < ROWS(lines); i++) {
		snprintf(line, sizeof(line), "\n%s\n", lines[i]);
		row_says(lines[i], text, line);
	}
	free(text);
}

/* Every drop reason is there from the start, and no passing one among them. */
static void reasons_listed(void **state)
{
	static const struct {
		const char *name;
		enum masq_verdict_kind kind;
	} all[] = {
#define R(id, name, verdict, what, todo) { name, MASQ_##verdict },
		MASQ_REASONS(R)
#undef R
	};
	struct metrics m = {};
	struct metrics_state s = { .foreign_nat = -1 };
	char *text = text_of(&m, &s), line[128];

	(void)state;
	for (size_t i = 1; i < ROWS(all); i++) {
		snprintf(line, sizeof(line), "\nmasqbpf_%s{reason=\"%s\"} 0\n",
			 all[i].kind == MASQ_DROP ? "drops_total"
						  : "passes_total",
			 all[i].name);
		row_says(all[i].name, text, line);
	}
	assert_null(strstr(text, "reason=\"none\""));
	/* what could not be found out is no 0 */
	assert_non_null(strstr(text, "\nmasqbpf_foreign_nat_detected NaN\n"));
	free(text);
}

/* text, loopback; NULL: refused with these words */
static const struct {
	const char *text;
	bool loopback;
	const char *says;
} addresses[] = {
	{ "127.0.0.1:9842", true, NULL },
	{ "127.8.9.1:0", true, NULL },
	{ "[::1]:80", true, NULL },
	{ "0.0.0.0:9842", false, NULL },
	{ "[::]:9842", false, NULL },
	{ "10.142.0.6:65535", false, NULL },
	{ "[::ffff:127.0.0.1]:1", false, "" },
	{ "", false, "not ADDRESS:PORT" },
	{ ":80", false, "not ADDRESS:PORT" },
	{ "9842", false, "not ADDRESS:PORT" },
	{ "*:80", false, "not an IP address" },
	{ "localhost:80", false, "not an IP address" },
	{ "::1:80", false, "brackets" },
	{ "[127.0.0.1:80", false, "not an IP address" },
	{ "127.0.0.1:", false, "" },
	{ "127.0.0.1:65536", false, "" },
	{ "127.0.0.1:80x", false, "" },
	{ "127.0.0.1:-1", false, "" },
	{ "[]:80", false, "" },
};

static void listen_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(addresses); i++) {
		struct http_address address;
		char err[128] = "";
		int ret = http_address_parse(addresses[i].text, &address, err,
					     sizeof(err));

		row_true(addresses[i].text, !ret == !addresses[i].says);
		if (addresses[i].says)
			row_says(addresses[i].text, err, addresses[i].says);
		else
			row_true(addresses[i].text,
				 address.loopback == addresses[i].loopback);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line),
		cmocka_unit_test(reasons_listed),
		cmocka_unit_test(listen_addresses),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
