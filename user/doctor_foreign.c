// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_foreign.c - others that translate. Whoever does it in POSTROUTING
 * does it before our hook: packets then come to us with the node's address,
 * pass as the node's own, and masqbpf looks healthy while it does nothing.
 *
 * The rules are read from the kernel itself (nf_tables over netlink, legacy
 * iptables by getsockopt): no tool is needed that an image may not have.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
/* before linux/if.h, which then leaves out what is the same */
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <jansson.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include "doctor.h"

/* A rule that writes sources. */
struct rule {
	const char *where; /* "nft ip nat", "iptables-legacy nat" */
	const char *chain;
	const char *what; /* "MASQUERADE", "snat" */
	struct cidr source; /* that it is limited to; family 0: not seen */
};

static bool begins(const char *text, const char *head)
{
	return !strncmp(text, head, strlen(head));
}

static enum doctor_level level_of(enum doctor_pods pods)
{
	return pods == PODS_NONE      ? DOCTOR_NOTE
	       : pods == PODS_UNKNOWN ? DOCTOR_WARNING
				      : DOCTOR_BAD;
}

static void judge(struct doctor *d, const struct rule *rule)
{
	enum doctor_level level = DOCTOR_BAD;
	char source[CIDR_STRLEN] = "any source", todo[256];

	if (rule->source.addr.family)
		cidr_format(&rule->source, source, sizeof(source));
	if (begins(rule->chain, "KUBE-")) {
		doctor_add(
			d, DOCTOR_NOTE, "foreign-nat", NULL,
			"%s, chain %s: %s of what kube-proxy marked: that is services' business",
			rule->where, rule->chain, rule->what);
		return;
	}
	if (begins(rule->chain, "IP-MASQ"))
		snprintf(
			todo, sizeof(todo),
			"ip-masq-agent: stop it, then masqbpf migrate takes over without losing a connection");
	else if (begins(rule->chain, "CNI-"))
		snprintf(
			todo, sizeof(todo),
			"a CNI plugin's: set ipMasq to false in /etc/cni/net.d");
	else
		snprintf(
			todo, sizeof(todo),
			"remove it or limit it to sources that are no pods; %s",
			begins(rule->where, "nft")
				? "nft -a list ruleset"
				: "iptables-legacy -t nat -S");
	if (rule->source.addr.family)
		level = level_of(doctor_pods_in(d, &rule->source));
	doctor_add(
		d, level, "foreign-nat", level == DOCTOR_NOTE ? NULL : todo,
		"%s, chain %s: %s for %s%s", rule->where, rule->chain,
		rule->what, source,
		level == DOCTOR_NOTE
			? ", no pods'"
			: ": what it translates before us we take for the node's own");
}

/* --- nf_tables --------------------------------------------------------- */

struct nft {
	struct doctor *d;
	size_t rules;
};

/* What an expression of a rule says; `rule` collects. */
struct nft_rule {
	struct rule rule;
	bool at_source; /* the register holds the source address */
	uint8_t length; /* of it, in bytes */
	uint32_t family;
};

static int read_attrs(const struct nlattr *attr, void *data)
{
	const struct nlattr **attrs = data;

	/* ours are all below; what is not, we do not ask for */
	if (mnl_attr_get_type(attr) < 32)
		attrs[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static uint32_t get_u32(const struct nlattr *attr)
{
	return attr ? ntohl(mnl_attr_get_u32(attr)) : UINT32_MAX;
}

static void read_payload(struct nft_rule *r, const struct nlattr **attrs)
{
	uint32_t offset = get_u32(attrs[NFTA_PAYLOAD_OFFSET]);
	uint32_t length = get_u32(attrs[NFTA_PAYLOAD_LEN]);

	r->at_source = get_u32(attrs[NFTA_PAYLOAD_BASE]) ==
			       NFT_PAYLOAD_NETWORK_HEADER &&
		       ((offset == 12 && length <= 4) ||
			(offset == 8 && length <= 16 && length > 4));
	r->length = length;
}

static void read_mask(struct nft_rule *r, const struct nlattr **attrs)
{
	const struct nlattr *mask[32] = {};
	const uint8_t *bytes;
	unsigned int plen = 0;

	if (!r->at_source || !attrs[NFTA_BITWISE_MASK])
		return;
	mnl_attr_parse_nested(attrs[NFTA_BITWISE_MASK], read_attrs, mask);
	if (!mask[NFTA_DATA_VALUE])
		return;
	bytes = mnl_attr_get_payload(mask[NFTA_DATA_VALUE]);
	while (plen < 8U * mnl_attr_get_payload_len(mask[NFTA_DATA_VALUE]) &&
	       bytes[plen / 8] & 0x80 >> plen % 8)
		plen++;
	r->rule.source.plen = plen;
}

static void read_compare(struct nft_rule *r, const struct nlattr **attrs)
{
	const struct nlattr *value[32] = {};
	uint8_t plen = r->rule.source.plen ?: 8 * r->length;

	if (r->at_source && get_u32(attrs[NFTA_CMP_OP]) == NFT_CMP_EQ &&
	    attrs[NFTA_CMP_DATA]) {
		mnl_attr_parse_nested(attrs[NFTA_CMP_DATA], read_attrs, value);
		if (value[NFTA_DATA_VALUE] &&
		    mnl_attr_get_payload_len(value[NFTA_DATA_VALUE]) <= 16) {
			struct addr addr = { r->length > 4 ? 6 : 4, {} };

			memcpy(addr.a,
			       mnl_attr_get_payload(value[NFTA_DATA_VALUE]),
			       mnl_attr_get_payload_len(
				       value[NFTA_DATA_VALUE]));
			r->rule.source = cidr_of(&addr, plen);
		}
	}
	r->at_source = false;
}

static int read_expression(const struct nlattr *element, void *data)
{
	const struct nlattr *expr[32] = {}, *attrs[32] = {};
	struct nft_rule *r = data;
	const char *name;

	mnl_attr_parse_nested(element, read_attrs, expr);
	if (!expr[NFTA_EXPR_NAME])
		return MNL_CB_OK;
	name = mnl_attr_get_str(expr[NFTA_EXPR_NAME]);
	if (expr[NFTA_EXPR_DATA])
		mnl_attr_parse_nested(expr[NFTA_EXPR_DATA], read_attrs, attrs);
	if (!strcmp(name, "payload"))
		read_payload(r, attrs);
	else if (!strcmp(name, "bitwise"))
		read_mask(r, attrs);
	else if (!strcmp(name, "cmp"))
		read_compare(r, attrs);
	else if (!strcmp(name, "masq"))
		r->rule.what = "masquerade";
	else if (!strcmp(name, "nat") &&
		 get_u32(attrs[NFTA_NAT_TYPE]) == NFT_NAT_SNAT)
		r->rule.what = "snat";
	else if (!strcmp(name, "target") && attrs[NFTA_TARGET_NAME] &&
		 (!strcmp(mnl_attr_get_str(attrs[NFTA_TARGET_NAME]),
			  "MASQUERADE") ||
		  !strcmp(mnl_attr_get_str(attrs[NFTA_TARGET_NAME]), "SNAT")))
		r->rule.what = mnl_attr_get_str(attrs[NFTA_TARGET_NAME]);
	return MNL_CB_OK;
}

static int read_nft_rule(const struct nlmsghdr *message, void *data)
{
	static const struct {
		uint8_t family;
		const char *name;
	} families[] = {
		{ NFPROTO_IPV4, "ip" },
		{ NFPROTO_IPV6, "ip6" },
		{ NFPROTO_INET, "inet" },
	};
	const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[32] = {};
	struct nft_rule r = {};
	struct nft *nft = data;
	char where[160];

	mnl_attr_parse(message, sizeof(*head), read_attrs, attrs);
	if (!attrs[NFTA_RULE_TABLE] || !attrs[NFTA_RULE_CHAIN] ||
	    !attrs[NFTA_RULE_EXPRESSIONS])
		return MNL_CB_OK;
	mnl_attr_parse_nested(attrs[NFTA_RULE_EXPRESSIONS], read_expression,
			      &r);
	if (!r.rule.what)
		return MNL_CB_OK;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (families[i].family == head->nfgen_family)
			snprintf(where, sizeof(where), "nft %s %s",
				 families[i].name,
				 mnl_attr_get_str(attrs[NFTA_RULE_TABLE]));
	r.rule.where = where;
	r.rule.chain = mnl_attr_get_str(attrs[NFTA_RULE_CHAIN]);
	judge(nft->d, &r.rule);
	nft->rules++;
	return MNL_CB_OK;
}

int doctor_dump(int bus, uint16_t type, const void *head, size_t length,
		mnl_cb_t each, void *data)
{
	struct mnl_socket *socket = mnl_socket_open(bus);
	static char buf[32768];
	struct nlmsghdr *request;
	uint32_t sequence = time(NULL);
	ssize_t got;
	int ret = -1, err;

	if (!socket)
		return -errno;
	request = mnl_nlmsg_put_header(buf);
	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = sequence;
	memcpy(mnl_nlmsg_put_extra_header(request, length), head, length);
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) >= 0 &&
	    mnl_socket_sendto(socket, request, request->nlmsg_len) >= 0)
		do {
			got = mnl_socket_recvfrom(socket, buf, sizeof(buf));
			ret = got < 0 ? -1
				      : mnl_cb_run(
						buf, got, sequence,
						mnl_socket_get_portid(socket),
						each, data);
		} while (ret > 0);
	err = ret < 0 ? -errno : 0;
	mnl_socket_close(socket);
	return err;
}

static void check_nft(struct doctor *d, size_t *rules)
{
	const struct nfgenmsg head = { .nfgen_family = NFPROTO_UNSPEC };
	struct nft nft = { .d = d };
	int err = doctor_dump(NETLINK_NETFILTER,
			      NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE,
			      &head, sizeof(head), read_nft_rule, &nft);

	/* EINVAL, EPROTONOSUPPORT: the kernel has none, so there is no rule */
	if (err == -EPERM)
		doctor_add(d, DOCTOR_NOTE, "foreign-nat", "run it as root",
			   "nft: the rules cannot be read");
	*rules += nft.rules;
}

/* --- legacy iptables --------------------------------------------------- */

static bool has_legacy_nat(const char *path)
{
	FILE *file = fopen(path, "re");
	char name[64];
	bool found = false;

	while (file && fgets(name, sizeof(name), file))
		found |= !strcmp(name, "nat\n");
	if (file)
		fclose(file);
	return found;
}

static struct cidr legacy_source(uint8_t family, const void *addr,
				 const void *mask, size_t bytes)
{
	const uint8_t *m = mask;
	struct addr source = { .family = family };
	uint8_t plen = 0;

	while (plen < 8 * bytes && m[plen / 8] & 0x80 >> plen % 8)
		plen++;
	if (!plen)
		return (struct cidr){};
	memcpy(source.a, addr, bytes);
	return cidr_of(&source, plen);
}

static bool writes_source(const char *target)
{
	return !strcmp(target, "MASQUERADE") || !strcmp(target, "SNAT");
}

/*
 * Entries as the kernel has them. A user's chain begins with an entry whose
 * target is ERROR and has the chain's name.
 */
#define CHECK_LEGACY(FAM, AF, LEVEL, PREFIX, GET_INFO, GET_ENTRIES, IP, BYTES) \
	static void check_legacy##FAM(struct doctor *d, size_t *rules)         \
	{                                                                      \
		struct PREFIX##_getinfo info = { .name = "nat" };              \
		struct PREFIX##_get_entries *all = NULL;                       \
		const char *chain = "POSTROUTING";                             \
		socklen_t length = sizeof(info);                               \
		int fd = socket(AF, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);     \
                                                                               \
		if (fd < 0 || getsockopt(fd, LEVEL, GET_INFO, &info, &length)) \
			goto out;                                              \
		length = sizeof(*all) + info.size;                             \
		all = calloc(1, length);                                       \
		if (!all)                                                      \
			goto out;                                              \
		strcpy(all->name, "nat");                                      \
		all->size = info.size;                                         \
		if (getsockopt(fd, LEVEL, GET_ENTRIES, all, &length))          \
			goto out;                                              \
		for (uint32_t at = 0; at < all->size;) {                       \
			const struct PREFIX##_entry *entry =                   \
				(const void *)((char *)all->entrytable + at);  \
			const struct xt_entry_target *target =                 \
				(const void *)((char *)entry +                 \
					       entry->target_offset);          \
			const char *name = target->u.user.name;                \
			struct rule rule = {                                   \
				.where = FAM == 4 ? "iptables-legacy nat"      \
						  : "ip6tables-legacy nat",    \
				.chain = chain,                                \
				.what = name,                                  \
			};                                                     \
                                                                               \
			if (!strcmp(name, "ERROR")) {                          \
				chain = (const char *)target->data;            \
			} else if (writes_source(name)) {                      \
				rule.source =                                  \
					legacy_source(FAM, &entry->IP.src,     \
						      &entry->IP.smsk, BYTES); \
				judge(d, &rule);                               \
				++*rules;                                      \
			}                                                      \
			if (!entry->next_offset)                               \
				break;                                         \
			at += entry->next_offset;                              \
		}                                                              \
out:                                                                           \
		free(all);                                                     \
		if (fd >= 0)                                                   \
			close(fd);                                             \
	}
CHECK_LEGACY(4, AF_INET, IPPROTO_IP, ipt, IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES,
	     ip, 4)
CHECK_LEGACY(6, AF_INET6, IPPROTO_IPV6, ip6t, IP6T_SO_GET_INFO,
	     IP6T_SO_GET_ENTRIES, ipv6, 16)

/* --- CNI plugins ------------------------------------------------------- */

/* The range that a plugin gives addresses from, as far as it says. */
static struct cidr plugin_range(const json_t *plugin)
{
	const json_t *ipam = json_object_get(plugin, "ipam");
	const json_t *set = json_array_get(json_object_get(ipam, "ranges"), 0);
	const char *text =
		json_string_value(json_object_get(ipam, "subnet"))
			?: json_string_value(json_object_get(
				   json_array_get(set, 0), "subnet"));
	struct cidr range = {};

	if (text)
		cidr_parse(text, &range, NULL, 0);
	return range;
}

/* Is it told to masquerade? */
static bool check_plugin(struct doctor *d, const char *path,
			 const json_t *plugin)
{
	struct cidr range = plugin_range(plugin);
	enum doctor_level level = DOCTOR_WARNING;
	char text[CIDR_STRLEN] = "its pods";

	if (!json_is_true(json_object_get(plugin, "ipMasq")))
		return false;
	if (range.addr.family) {
		level = level_of(doctor_pods_in(d, &range));
		cidr_format(&range, text, sizeof(text));
	}
	doctor_add(d, level, "cni",
		   level == DOCTOR_NOTE
			   ? NULL
			   : "set it to false; pods made from then on are ours",
		   "%s: plugin %s has ipMasq: true: it translates %s before us",
		   path,
		   json_string_value(json_object_get(plugin, "type")) ?: "?",
		   text);
	return true;
}

static void check_cni(struct doctor *d)
{
	static const char dir_path[] = "/etc/cni/net.d";
	DIR *dir = opendir(dir_path);
	struct dirent *entry;
	size_t files = 0, masquerading = 0;

	while (dir && (entry = readdir(dir))) {
		const char *suffix = strrchr(entry->d_name, '.');
		char path[PATH_MAX];
		json_t *config, *plugin;
		size_t i;

		if (!suffix ||
		    (strcmp(suffix, ".conf") && strcmp(suffix, ".conflist") &&
		     strcmp(suffix, ".json")))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
		config = json_load_file(path, 0, NULL);
		files++;
		masquerading += check_plugin(d, path, config);
		json_array_foreach(json_object_get(config, "plugins"), i,
				   plugin)
			masquerading += check_plugin(d, path, plugin);
		json_decref(config);
	}
	if (dir)
		closedir(dir);
	if (!masquerading)
		doctor_add(d, DOCTOR_OK, "cni", NULL,
			   files ? "%zu configs in %s, none has ipMasq: true"
				 : "%zu configs in %s",
			   files, dir_path);
}

/* --- kubelet ----------------------------------------------------------- */

/* Reads /proc/PID/cmdline, its words separated by newlines. */
static bool read_kubelet(const char *pid, char *buf, size_t len)
{
	char path[64];
	size_t length;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(buf, len, file))
		buf[0] = '\0';
	fclose(file);
	if (strcmp(buf, "kubelet\n"))
		return false;
	snprintf(path, sizeof(path), "/proc/%.16s/cmdline", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	length = fread(buf, 1, len - 1, file);
	fclose(file);
	buf[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (!buf[i])
			buf[i] = '\n';
	return true;
}

static void check_kubelet(struct doctor *d)
{
	static const char option[] = "--non-masquerade-cidr=";
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char line[16384];

	while (proc && (entry = readdir(proc))) {
		char *value;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !read_kubelet(entry->d_name, line, sizeof(line)))
			continue;
		value = strstr(line, option);
		if (!value) {
			doctor_add(d, DOCTOR_OK, "kubelet", NULL,
				   "no --non-masquerade-cidr");
			continue;
		}
		value += sizeof(option) - 1;
		value[strcspn(value, "\n")] = '\0';
		if (!strcmp(value, "0.0.0.0/0"))
			doctor_add(d, DOCTOR_OK, "kubelet", NULL,
				   "--non-masquerade-cidr=0.0.0.0/0");
		else
			doctor_add(
				d, DOCTOR_BAD, "kubelet",
				"start it with --non-masquerade-cidr=0.0.0.0/0",
				"--non-masquerade-cidr=%s: kubelet masquerades what is outside, before us",
				value);
	}
	if (proc)
		closedir(proc);
}

size_t doctor_check_rules(struct doctor *d)
{
	size_t rules = 0, bad = 0, before = d->count;

	check_nft(d, &rules);
	/* asking for a table that is not there would load it */
	if (has_legacy_nat("/proc/net/ip_tables_names"))
		check_legacy4(d, &rules);
	if (has_legacy_nat("/proc/net/ip6_tables_names"))
		check_legacy6(d, &rules);
	if (!rules)
		doctor_add(
			d, DOCTOR_OK, "foreign-nat", NULL,
			"no rule of nft, iptables or iptables-legacy writes sources");
	for (size_t k = before; k < d->count; k++)
		bad += d->findings[k].level == DOCTOR_BAD;
	return bad;
}

void doctor_check_foreign(struct doctor *d)
{
	doctor_check_rules(d);
	check_cni(d);
	check_kubelet(d);
}
