/* fleet_agents.c - stands in for the agents of many machines: they enrol, and answer by a script.
 *
 * fleet_agents TOKEN-FILE SCRIPT NAME...
 *
 * SCRIPT has lines "NAME WORD...", NAME * for all; later lines add to earlier ones:
 *   apps=api:4:1.4.2:online[,...]  name, instances, version, state
 *   fail=TEXT        the first instance of a command fails, with output
 *   bad=VERSION      a version that never gets ready
 *   frail=VERSION:MS one that is ready, and crashes so much later
 *   silent           no answer at all
 *   delay=MS         answers come so late
 *   skew=MS          the clock is ahead
 *   lines=N          log lines that there are before anybody looks
 *   live=N every=MS  log lines that are written once somebody follows
 *   cut=N            the connection ends once, after so many live lines
 *   wide=N           bytes of a log line, at least
 *   alike            its lines do not name the host
 *   restart=MS       its app is down so long when it is restarted in its turn
 * A line on standard input, "stop NAME" or "go NAME", takes an agent off or lets it dial again;
 * "hit NAME" makes the first app of it, or of all (*), reach its memory limit. "up N" is written
 * whenever the number of sessions has changed; "did ...": helpers/played/apps.h, "slot ...":
 * helpers/played/slots.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/link.h"
#include "proto/token.h"
#include "tests/helpers/played/apps.h"
#include "tests/helpers/played/slots.h"

#define STREAMS_MAX 8
#define LATE_MAX    8

/* An answer that waits for its delay. */
struct late {
	uint64_t due_ms; /* 0: free */
	uint64_t id;
	Pm__Command *command; /* owned; NULL: status of all */
	Pm__StatusRequest *status;
};

struct stream {
	struct pm_link_stream *st; /* NULL: free */
	uint64_t sent, end;        /* the next line, and the one behind the last that is wanted */
	bool announced, history_told, follow;
};

struct agent {
	char name[64];
	struct played_apps apps;
	struct played_slots slots;
	bool silent, stopped, enrolled, alike;
	uint32_t delay_ms, every_ms;
	int64_t skew_ms;
	uint64_t n_lines, n_live, cut, wide; /* n_lines: written so far */
	uint64_t next_line_ms;
	struct late late[LATE_MAX];
	struct stream streams[STREAMS_MAX];
	struct pm_key *key;
	struct pm_link_host *host;
	struct pm_link *link;
	int fd;
	const uint8_t *out;
	size_t n_out;
	uint64_t dial_ms;
};

static struct agent *agents;
static size_t n_agents, n_told;
static struct pm_token token;

static void die(const char *what, const struct pm_error *err)
{
	(void)fprintf(stderr, "fleet_agents: %s: %s\n", what,
	              err == NULL ? strerror(errno) : err->what);
	exit(1);
}

/* ---- the script ---- */

static void take_word(struct agent *a, const char *word)
{
	char copy[512];
	char *value;

	(void)snprintf(copy, sizeof(copy), "%s", word);
	value = strchr(copy, '=');
	if (value != NULL)
		*value++ = '\0';
	if (strcmp(copy, "silent") == 0)
		a->silent = true;
	else if (strcmp(copy, "alike") == 0)
		a->alike = true;
	else if (value == NULL)
		return;
	else if (strcmp(copy, "apps") == 0)
		played_take_apps(&a->apps, value);
	else if (strcmp(copy, "fail") == 0)
		(void)snprintf(a->apps.fail, sizeof(a->apps.fail), "%.127s", value);
	else if (strcmp(copy, "bad") == 0)
		(void)snprintf(a->apps.bad, sizeof(a->apps.bad), "%.31s", value);
	else if (strcmp(copy, "frail") == 0)
		(void)sscanf(value, "%31[^:]:%u", a->apps.frail, &a->apps.frail_ms);
	else if (strcmp(copy, "delay") == 0)
		a->delay_ms = (uint32_t)atoi(value);
	else if (strcmp(copy, "every") == 0)
		a->every_ms = (uint32_t)atoi(value);
	else if (strcmp(copy, "skew") == 0)
		a->skew_ms = atoi(value);
	else if (strcmp(copy, "lines") == 0)
		a->n_lines = (uint64_t)atoll(value);
	else if (strcmp(copy, "live") == 0)
		a->n_live = (uint64_t)atoll(value);
	else if (strcmp(copy, "cut") == 0)
		a->cut = (uint64_t)atoll(value);
	else if (strcmp(copy, "restart") == 0)
		a->slots.restart_ms = (uint32_t)atoi(value);
	else if (strcmp(copy, "wide") == 0)
		a->wide = (uint64_t)atoll(value);
}

static void read_script(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[4096];

	if (file == NULL)
		die(path, NULL);
	while (fgets(line, sizeof(line), file) != NULL) {
		char *save = NULL, *name = strtok_r(line, " \n", &save), *words = save, copy[4096];

		for (size_t i = 0; name != NULL && i < n_agents; i++) {
			if (strcmp(name, "*") != 0 && strcmp(name, agents[i].name) != 0)
				continue;
			(void)snprintf(copy, sizeof(copy), "%s", words == NULL ? "" : words);
			save = NULL;
			for (char *w = strtok_r(copy, " \n", &save); w != NULL;
			     w = strtok_r(NULL, " \n", &save))
				take_word(&agents[i], w);
		}
	}
	(void)fclose(file);
}

/* ---- answers ---- */

static void answer(struct agent *a, uint64_t re, Pm__Envelope *env)
{
	env->re = re;
	if (!pm_link_send(a->link, env))
		(void)fprintf(stderr, "fleet_agents: %s: an answer was not sent\n", a->name);
}

static void *copy_of(const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = malloc(len + 1);
	void *copy;

	if (bytes == NULL)
		die("copy", NULL);
	(void)protobuf_c_message_pack(m, bytes);
	copy = protobuf_c_message_unpack(m->descriptor, NULL, len, bytes);
	free(bytes);
	return copy;
}

static void on_message(void *arg, struct pm_link *l, const Pm__Envelope *env,
                       enum pm_event_kind kind)
{
	struct agent *a = arg;

	(void)l;
	if (env->body_case == PM__ENVELOPE__BODY_SLOT)
		played_slots_take(&a->slots, a->name, env->slot, pm_now_ms());
	if (kind != PM_EVENT_REQUEST || a->silent)
		return;
	if (env->body_case == PM__ENVELOPE__BODY_SPEC_PUSH) {
		played_push(&a->apps, env->spec_push);
		return;
	}
	for (size_t i = 0; i < LATE_MAX; i++) {
		struct late *late = &a->late[i];

		if (late->due_ms != 0)
			continue;
		if (env->body_case == PM__ENVELOPE__BODY_COMMAND)
			late->command = copy_of(&env->command->base);
		else if (env->body_case == PM__ENVELOPE__BODY_STATUS_REQUEST)
			late->status = copy_of(&env->status_request->base);
		else
			return;
		late->id = env->id;
		late->due_ms = pm_now_ms() + a->delay_ms;
		return;
	}
}

static void answer_due(struct agent *a, uint64_t now)
{
	for (size_t i = 0; i < LATE_MAX; i++) {
		struct late *late = &a->late[i];
		Pm__Envelope env = PM__ENVELOPE__INIT;

		if (late->due_ms == 0 || late->due_ms > now)
			continue;
		if (late->command != NULL) {
			played_command(&a->apps, late->command, now, &env);
			pm__command__free_unpacked(late->command, NULL);
		} else {
			played_status(&a->apps, late->status, &env);
			pm__status_request__free_unpacked(late->status, NULL);
		}
		answer(a, late->id, &env);
		*late = (struct late){ 0 };
	}
}

/* ---- logs: line K of every agent is "NAME line K", padded ---- */

static size_t line_text(const struct agent *a, uint64_t k, char *out, size_t size)
{
	int n = snprintf(out, size, "%s line %08llu", a->alike ? "each" : a->name,
	                 (unsigned long long)k);
	size_t len = n > 0 ? (size_t)n : 0;

	while (len < a->wide && len + 1 < size)
		out[len++] = '.';
	return len;
}

static bool send_line(struct agent *a, struct stream *s)
{
	static char text[70000];
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogBatch batch = PM__LOG_BATCH__INIT;
	Pm__LogLine line = PM__LOG_LINE__INIT, *lines[] = { &line };
	size_t len = line_text(a, s->sent, text, sizeof(text));

	line.source = 1;
	line.text.data = (uint8_t *)text;
	line.text.len = len;
	line.wall_ms = pm_wall_ms() + a->skew_ms;
	line.live = s->history_told;
	line.offset = s->sent * (len + 1);
	batch.lines = lines;
	batch.n_lines = 1;
	data.what_case = PM__STREAM_DATA__WHAT_LINES;
	data.lines = &batch;
	return pm_link_stream_send(s->st, &data) == PM_LINK_SENT;
}

static bool send_source(struct agent *a, struct stream *s)
{
	static char path[] = "/logs/api-out.log";
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogSource source = PM__LOG_SOURCE__INIT;

	source.source = 1;
	source.name = a->apps.n > 0 ? a->apps.list[0].name : a->name;
	source.path = path;
	data.what_case = PM__STREAM_DATA__WHAT_SOURCE;
	data.source = &source;
	return pm_link_stream_send(s->st, &data) == PM_LINK_SENT;
}

static bool send_history_end(struct stream *s)
{
	Pm__StreamData data = PM__STREAM_DATA__INIT;
	Pm__LogBatch batch = PM__LOG_BATCH__INIT;

	batch.history_end = true;
	data.what_case = PM__STREAM_DATA__WHAT_LINES;
	data.lines = &batch;
	return pm_link_stream_send(s->st, &data) == PM_LINK_SENT;
}

static void send_lines(struct agent *a, struct stream *s)
{
	if (!s->announced && !send_source(a, s))
		return;
	s->announced = true;
	for (; s->sent < a->n_lines; s->sent++) {
		if (!s->history_told && s->sent >= s->end)
			break;
		if (!send_line(a, s))
			return;
	}
	if (!s->history_told && !send_history_end(s))
		return;
	s->history_told = true;
	if (!s->follow) {
		pm_link_stream_close(s->st, PM_OK, "");
		s->st = NULL;
	}
}

static void pump_streams(struct agent *a)
{
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (a->streams[i].st != NULL)
			send_lines(a, &a->streams[i]);
}

static int on_stream_open(void *arg, struct pm_link_stream *st, const Pm__StreamOpen *open,
                          struct pm_error *err)
{
	struct agent *a = arg;

	if (open->what_case != PM__STREAM_OPEN__WHAT_LOGS)
		return pm_fail(err, PM_UNSUPPORTED, "only logs");
	for (size_t i = 0; i < STREAMS_MAX; i++) {
		struct stream *s = &a->streams[i];
		uint64_t lines = open->logs->lines;

		if (s->st != NULL)
			continue;
		*s = (struct stream){ .st = st, .follow = open->logs->follow, .end = a->n_lines };
		s->sent = a->n_lines > lines ? a->n_lines - lines : 0;
		pm_link_stream_set_user(st, s);
		return 0;
	}
	return pm_fail(err, PM_LIMIT, "streams");
}

static void on_stream_closed(void *arg, struct pm_link_stream *st, const struct pm_error *why)
{
	struct stream *s = pm_link_stream_user(st);

	(void)arg;
	(void)why;
	s->st = NULL;
}

static void on_stream_ready(void *arg, struct pm_link_stream *st)
{
	(void)st;
	pump_streams(arg);
}

static void on_stream_data(void *arg, struct pm_link_stream *st, const Pm__StreamData *data)
{
	(void)arg;
	(void)st;
	(void)data;
}

static void write_lines(struct agent *a, uint64_t now)
{
	bool followed = false;

	for (size_t i = 0; i < STREAMS_MAX; i++)
		followed |= a->streams[i].st != NULL && a->streams[i].follow;
	if (!followed || a->n_live == 0)
		return;
	if (a->next_line_ms == 0)
		a->next_line_ms = now;
	while (a->n_live > 0 && a->next_line_ms <= now) {
		a->n_lines++;
		a->n_live--;
		a->next_line_ms += a->every_ms;
		if (a->cut > 0 && --a->cut == 0) {
			struct pm_error why;

			(void)pm_fail(&why, PM_UNREACHABLE, "cut");
			pm_link_close(a->link, &why);
			return;
		}
	}
}

/* ---- sessions ---- */

static void on_ask(void *arg, struct pm_link *l, Pm__Enrol *enrol)
{
	struct agent *a = arg;

	(void)l;
	enrol->token_id.data = token.id;
	enrol->token_id.len = PM_TOKEN_ID_BYTES;
	enrol->secret.data = token.secret;
	enrol->secret.len = PM_TOKEN_SECRET_BYTES;
	enrol->name = a->name;
}

static void on_greet(void *arg, struct pm_link *l, Pm__Hello *hello)
{
	static Pm__AgentHello agent;
	static Pm__HostFacts facts;
	static uint8_t boot[16];
	static uint64_t epoch;
	struct agent *a = arg;

	(void)l;
	pm__agent_hello__init(&agent);
	pm__host_facts__init(&facts);
	facts.hostname = a->name;
	facts.n_cpus = 2;
	agent.boot_id = (ProtobufCBinaryData){ sizeof(boot), boot };
	agent.epoch = ++epoch;
	agent.facts = &facts;
	hello->agent = &agent;
}

static void on_beat(void *arg, struct pm_link *l, Pm__Heartbeat *beat)
{
	const struct agent *a = arg;

	(void)l;
	beat->wall_ms = pm_wall_ms() + a->skew_ms;
	beat->state_revision = a->apps.revision;
	beat->running = played_running(&a->apps);
}

static void on_enrolled(void *arg, struct pm_link *l, const Pm__Enrolled *enrolled)
{
	struct agent *a = arg;

	(void)l;
	(void)enrolled;
	a->enrolled = true;
}

static void on_up(void *arg, struct pm_link *l, const Pm__Welcome *welcome)
{
	(void)arg;
	(void)l;
	(void)welcome;
}

static void on_closed(void *arg, struct pm_link *l, const struct pm_error *why,
                      uint32_t retry_after_ms)
{
	const struct agent *a = arg;

	(void)l;
	(void)retry_after_ms;
	(void)fprintf(stderr, "fleet_agents: %s: %s\n", a->name, why->what);
}

static const struct pm_link_handlers handlers = {
	.ask = on_ask,
	.greet = on_greet,
	.enrolled = on_enrolled,
	.up = on_up,
	.beat = on_beat,
	.message = on_message,
	.stream_open = on_stream_open,
	.stream_data = on_stream_data,
	.stream_ready = on_stream_ready,
	.stream_closed = on_stream_closed,
	.closed = on_closed,
};

static void dial(struct agent *a)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_port = htons(token.addresses[0].port) };
	struct pm_error err;
	int on = 1;

	if (inet_pton(AF_INET, token.addresses[0].host, &at.sin_addr) != 1)
		at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		die("socket", NULL);
	if (connect(a->fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		(void)close(a->fd);
		a->fd = -1;
		a->dial_ms = pm_now_ms() + 200;
		return;
	}
	(void)setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)fcntl(a->fd, F_SETFL, O_NONBLOCK);
	if (pm_link_create(a->host, token.coordinator, !a->enrolled, pm_now_ms(), &a->link, &err) <
	    0)
		die("link", &err);
}

static void hang_up(struct agent *a)
{
	if (a->link == NULL)
		return;
	pm_link_destroy(a->link);
	(void)close(a->fd);
	a->link = NULL;
	a->fd = -1;
	a->n_out = 0;
	for (size_t i = 0; i < LATE_MAX; i++)
		a->late[i].due_ms = 0; /* nobody waits for them; the copies are lost with us */
	memset(a->streams, 0, sizeof(a->streams));
	a->dial_ms = pm_now_ms() + 50;
}

/* false: the session is over */
static bool write_out(struct agent *a)
{
	for (;;) {
		ssize_t n;

		if (a->n_out == 0 && !pm_link_output(a->link, &a->out, &a->n_out, pm_now_ms()))
			return true;
		n = send(a->fd, a->out, a->n_out, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		a->out += n;
		a->n_out -= (size_t)n;
		if (a->n_out == 0 && !pm_link_written(a->link, pm_now_ms()))
			return false;
	}
}

static bool read_in(struct agent *a)
{
	static uint8_t bytes[65536];

	for (;;) {
		ssize_t n = recv(a->fd, bytes, sizeof(bytes), 0);

		if (n < 0)
			return errno == EAGAIN;
		if (n == 0 || !pm_link_input(a->link, bytes, (size_t)n, pm_now_ms()))
			return false;
	}
}

static void turn(struct agent *a, short revents)
{
	uint64_t now = pm_now_ms();
	bool alive = true;

	if (a->link == NULL) {
		if (!a->stopped && now >= a->dial_ms)
			dial(a);
		return;
	}
	if (revents != 0)
		alive = read_in(a);
	now = pm_now_ms(); /* a link's time never goes back */
	if (alive && pm_link_is_up(a->link)) {
		played_turn(&a->apps, now);
		played_slots_turn(&a->slots, a->name, a->link, now);
		answer_due(a, now);
		write_lines(a, now);
		pump_streams(a);
	}
	alive = alive && pm_link_work(a->link, now) && write_out(a);
	if (!alive)
		hang_up(a);
}

static void take_order(void)
{
	char line[128], word[16], name[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		exit(0); /* who started us has gone */
	line[n] = '\0';
	if (sscanf(line, "%15s %63s", word, name) != 2)
		return;
	for (size_t i = 0; i < n_agents; i++) {
		if (strcmp(name, "*") != 0 && strcmp(agents[i].name, name) != 0)
			continue;
		if (strcmp(word, "hit") == 0) {
			played_slots_hit(&agents[i].slots, agents[i].name,
			                 agents[i].apps.list[0].name, agents[i].link);
			continue;
		}
		agents[i].stopped = strcmp(word, "stop") == 0;
		if (agents[i].stopped)
			hang_up(&agents[i]);
	}
}

static void count_up(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_agents; i++)
		n += agents[i].link != NULL && pm_link_is_up(agents[i].link);
	if (n == n_told)
		return;
	n_told = n;
	(void)printf("up %zu\n", n);
	(void)fflush(stdout);
}

static void read_token(const char *path)
{
	char text[PM_TOKEN_TEXT_MAX + 1];
	struct pm_error err;
	FILE *file = fopen(path, "re");
	size_t n;

	if (file == NULL)
		die(path, NULL);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	(void)fclose(file);
	if (pm_token_parse(text, &token, &err) < 0)
		die(path, &err);
}

int main(int argc, char **argv)
{
	struct pollfd *pfds;
	struct pm_error err;

	if (argc < 4)
		return 2;
	read_token(argv[1]);
	n_agents = (size_t)argc - 3;
	agents = calloc(n_agents, sizeof(*agents));
	pfds = calloc(n_agents + 1, sizeof(*pfds));
	if (agents == NULL || pfds == NULL)
		die("start", NULL);
	for (size_t i = 0; i < n_agents; i++) {
		struct pm_link_config config = { .role = PM_ROLE_AGENT,
			                         .program = "agent",
			                         .heartbeat_ms = 1000 };

		(void)snprintf(agents[i].name, sizeof(agents[i].name), "%s", argv[i + 3]);
		(void)snprintf(agents[i].apps.host, sizeof(agents[i].apps.host), "%s", argv[i + 3]);
		agents[i].fd = -1;
		agents[i].every_ms = 1;
		if (pm_key_create(&agents[i].key, &err) < 0)
			die("key", &err);
		config.key = agents[i].key;
		if (pm_link_host_create(&config, &handlers, &agents[i], &agents[i].host, &err) < 0)
			die("host", &err);
	}
	read_script(argv[2]);
	for (;;) {
		for (size_t i = 0; i < n_agents; i++)
			pfds[i] = (struct pollfd){
				.fd = agents[i].fd,
				.events = (short)(POLLIN | (agents[i].n_out > 0 ? POLLOUT : 0))
			};
		pfds[n_agents] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
		(void)poll(pfds, n_agents + 1, 5);
		for (size_t i = 0; i < n_agents; i++)
			turn(&agents[i], pfds[i].revents);
		if (pfds[n_agents].revents != 0)
			take_order();
		count_up();
	}
}
