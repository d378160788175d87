// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_metrics.c - `masqbpf metrics`: the Prometheus text (or its samples as
 * JSON) once, in a file for node_exporter's textfile collector, or over HTTP. The agent has it all
 * without privileges; this is for a node that runs none.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/http.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "report/metrics.h"

/* The instance is closed again at once: its lock must not be held up. */
static int write_metrics(const struct cmd_line *line, FILE *file)
{
	struct metrics_state state = {};
	struct metrics metrics = {};
	struct instance *instance = NULL;
	int result = cmd_open(line, INSTANCE_READ, &instance);

	if (!result && (metrics_look(instance, &state) ||
			metrics_read(instance, &metrics)))
		result = CMD_FAILED;
	if (!result)
		metrics_write(file, &metrics, &state);
	metrics_free(&metrics);
	metrics_forget(&state);
	instance_close(instance);
	return result;
}

/* Whoever reads FILE meets the old text or the new one, both whole. */
static int write_textfile(const struct cmd_line *line, const char *path)
{
	int result = CMD_FAILED, fd = -1, err;
	FILE *file = NULL;
	char *temp = NULL;

	if (asprintf(&temp, "%s.XXXXXX", path) < 0)
		return CMD_FAILED;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0644) || !(file = fdopen(fd, "w"))) {
		err = errno;
		log_error("%s: cannot write: %s", path, strerror(err));
		goto out;
	}
	result = write_metrics(line, file);
	if (!result && (fflush(file) || ferror(file) || rename(temp, path))) {
		err = errno;
		log_error("%s: cannot write: %s", path, strerror(err));
		result = CMD_FAILED;
	}
out:
	if (fd >= 0 && result)
		unlink(temp);
	if (file)
		fclose(file);
	else if (fd >= 0)
		close(fd);
	free(temp);
	return result;
}

static void answer(void *data, const char *path, struct http_reply *reply)
{
	const struct cmd_line *line = data;
	FILE *file;

	if (strcmp(path, "/metrics"))
		return;
	file = open_memstream(&reply->body, &reply->length);
	if (!file)
		return;
	reply->status = write_metrics(line, file) ? 503 : 200;
	reply->type = METRICS_CONTENT_TYPE;
	if (fclose(file))
		reply->status = 503;
}

static int serve(const struct cmd_line *line, const char *listen)
{
	struct http_address address;
	struct http *http;
	sigset_t set;
	char err[128];
	int fd;

	if (http_address_parse(listen, &address, err, sizeof(err)))
		return cmd_usage(line, "--listen %s: %s", listen, err);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0 || http_start(&address, answer, (void *)line, &http))
		return CMD_FAILED;
	for (;;) {
		struct pollfd fds[2] = { { .fd = fd, .events = POLLIN },
					 { .fd = http_fd(http),
					   .events = POLLIN } };

		if (poll(fds, 2, http_timeout(http)) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		http_run(http);
	}
	http_stop(http);
	close(fd);
	return CMD_OK;
}

/* The text of a label, which put_label of metrics.c wrote, as it was there. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		text += *text == '\\';
		*to++ = *text;
	}
	*to = '\0';
}

/* A sample of the text: NAME VALUE or NAME{LABEL="TEXT",...} VALUE. */
static void json_sample(struct json *j, char *sample)
{
	char *value = strrchr(sample, ' '), *at;

	if (!value)
		return;
	*value++ = '\0';
	at = strchr(sample, '{');
	if (at)
		*at++ = '\0';
	json_object_line(j, NULL);
	json_string(j, "name", sample);
	json_object(j, "labels");
	while (at && *at && *at != '}') {
		char *label = at, *text = strchr(at, '"'), *end;

		text[-1] = '\0';
		for (end = ++text; *end != '"'; end++)
			end += *end == '\\';
		at = end + 1 + (end[1] == ',');
		*end = '\0';
		unescape(text);
		json_string(j, label, text);
	}
	json_object_end(j);
	/* what nobody knows is NaN there, which JSON has no word for */
	json_number(j, "value", isfinite(strtod(value, NULL)) ? value : "null");
	json_object_end(j);
}

static int print_json(const struct cmd_line *line)
{
	char *text = NULL, *at, *sample;
	size_t length;
	FILE *file = open_memstream(&text, &length);
	struct json j;
	int result;

	if (!file)
		return CMD_FAILED;
	result = write_metrics(line, file);
	if (fclose(file) || result) {
		free(text);
		return CMD_FAILED;
	}
	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_array(&j, "metrics");
	at = text;
	while ((sample = strsep(&at, "\n")))
		if (*sample && *sample != '#')
			json_sample(&j, sample);
	json_array_end(&j);
	json_object_end(&j);
	json_end(&j);
	free(text);
	return CMD_OK;
}

static int run(const struct cmd_line *line)
{
	const char *listen = cmd_value(line, "listen");
	const char *textfile = cmd_value(line, "textfile");

	if (listen && textfile)
		return cmd_usage(line,
				 "--listen and --textfile exclude each other");
	if (line->json && (listen || textfile))
		return cmd_usage(line, "--json goes to standard output");
	if (listen)
		return serve(line, listen);
	if (textfile)
		return write_textfile(line, textfile);
	return line->json ? print_json(line) : write_metrics(line, stdout);
}

static const struct cmd_option options[] = {
	{ "listen", "ADDR:PORT", "serve them at http://ADDR:PORT/metrics" },
	{ "textfile", "FILE", "write them to FILE, whole at any moment" },
	{},
};

const struct cmd cmd_metrics = {
	.name = "metrics",
	.args = "",
	.help = "Prometheus text: on stdout, over HTTP, into a file",
	.options = options,
	.run = run,
};
