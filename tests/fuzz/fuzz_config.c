// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_config.c - libFuzzer on the config parser. Besides not crashing: every
 * refusal has its one line, what is accepted keeps the rules, and our walk of
 * a JSON text finds what jansson's tree holds.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/config.h"
#include "config/doc.h"
#include "fuzz.h"

static void one_line(const char *text)
{
	require(!strncmp(text, "fuzz", 4));
	for (; *text; text++)
		require((unsigned char)*text >= ' ' && *text != 0x7f);
}

/* Errors: no more than are promised, each with the file's name. */
static void each_line(char *lines)
{
	size_t count = 0;
	char *line;

	while ((line = strsep(&lines, "\n"))) {
		one_line(line);
		count++;
	}
	require(count >= 1 && count <= CONFIG_ERRORS + 1);
}

static void check_list(const struct config_cidrs *list)
{
	for (size_t i = 0; i < list->count; i++) {
		char text[CIDR_STRLEN];
		struct cidr again;

		cidr_format(&list->items[i].cidr, text, sizeof(text));
		require(!cidr_parse(text, &again, NULL, 0));
		require(!cidr_cmp(&again, &list->items[i].cidr));
	}
}

static void check_config(const struct config *config)
{
	require(config->keep.count <= config->cidr_limit);
	require(config->keep_given == !config->preset);
	require(config->resync_interval_ns);
	require(config->port_min && config->port_min <= config->port_max);
	require(config->node_port_min <= config->node_port_max);
	require(config->max_flows && config->max_flows_per_pod);
	for (int i = 0; i < MASQ_T_MAX; i++)
		require(config->timeout_ns[i]);
	for (size_t i = 0; i < config->snat_count; i++)
		require(config->snat[i].dest.addr.family ==
			config->snat[i].pool.family);
	check_list(&config->keep);
	check_list(&config->masquerade);
	check_list(&config->pods);
	check_list(&config->keep_sources);
	for (size_t i = 0; i < config->warning_count; i++)
		one_line(config->warnings[i]);
}

/* Of equal keys jansson's tree has the last one. */
static const struct node *last_value(const struct node *map, const char *key)
{
	for (size_t i = map->count; i; i -= 2)
		if (!strcmp(map->items[i - 2]->text, key))
			return map->items[i - 1];
	return NULL;
}

static void compare(const struct node *node, json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;

	switch (json_typeof(json)) {
	case JSON_OBJECT:
		require(node->type == NODE_MAP);
		json_object_foreach(json, key, value)
		{
			require(last_value(node, key));
			compare(last_value(node, key), value);
		}
		for (i = 0; i < node->count; i += 2)
			require(json_object_get(json, node->items[i]->text));
		break;
	case JSON_ARRAY:
		require(node->type == NODE_LIST);
		require(node->count == json_array_size(json));
		json_array_foreach(json, i, value)
			compare(node->items[i], value);
		break;
	case JSON_STRING:
		require(node->type == NODE_SCALAR && !node->plain);
		require(!strcmp(node->text, json_string_value(json)));
		break;
	case JSON_INTEGER:
		require(node->plain && strtoll(node->text, NULL, 10) ==
					       json_integer_value(json));
		break;
	case JSON_REAL:
		require(node->plain &&
			strtod(node->text, NULL) == json_real_value(json));
		break;
	case JSON_TRUE:
		require(node->plain && !strcmp(node->text, "true"));
		break;
	case JSON_FALSE:
		require(node->plain && !strcmp(node->text, "false"));
		break;
	case JSON_NULL:
		require(node_is_null(node));
		break;
	}
}

static void check_json(const char *text, size_t length)
{
	struct doc_error error;
	struct doc doc;
	json_t *json;

	if (doc_read_json(text, length, &doc, &error))
		return;
	json = json_loadb(text, length, 0, NULL);
	require(json);
	compare(doc.root, json);
	json_decref(json);
	doc_free(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int strict = 0; strict < 2; strict++) {
		const struct config_options options = { .strict = strict };
		struct config *config = NULL;
		char err[CONFIG_ERRLEN] = "";
		int ret = config_parse((const char *)data, size, "fuzz",
				       &options, &config, err, sizeof(err));

		if (!ret) {
			check_config(config);
			config_free(config);
		} else {
			require(ret == -EINVAL && !config);
			each_line(err);
		}
	}
	check_json((const char *)data, size);
	return 0;
}
