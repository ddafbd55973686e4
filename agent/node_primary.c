#include "agent/node_primary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent/preload.h"

#define UV_TCP_IPV6ONLY 1 /* of node's `flags` */
/* Descriptors that wait for a worker's acknowledgement. */
#define HANDLES_MAX (SOCKETS_KEYS_MAX * 4)
/* TLS ticket keys are 48 bytes; what is kept for later workers has no use beyond this. */
#define SHARED_DATA_MAX 4096
/* So many changes of what a worker says of its connections, in so long. */
#define BRIEF_CHANGES_MAX 20
#define BRIEF_WHILE_MS    10000

struct node_shared_data {
	char *key, *json; /* owned */
};

struct handle {
	struct handle *next;
	char *json; /* owned */
	int fd;     /* owned */
	bool is_connection;
	struct socket_key key; /* of a connection */
};

/* The common sockets. */
struct common {
	bool wanted;      /* it is to take from them */
	bool asked, able; /* whether it could; it can */
	uint64_t invited; /* keys (sockets_bit()) */
	/* How often it has said that its connections are brief, or no longer, and since when. */
	unsigned n_brief;
	uint64_t brief_ms;
};

struct node_primary {
	struct ipc *ipc;
	struct sockets *sockets;
	struct node_shared *shared;
	uint32_t seat;
	unsigned generation;
	struct node_primary_hooks hooks;
	struct handle *queue, **queue_end; /* owned; the first is under way when `waiting` */
	unsigned n_queue;
	bool waiting;
	bool leaving; /* it is sent nothing but texts any more: see node_primary_disconnect() */
	unsigned n_listening;
	struct common common;
};

/* ---- data that workers share ---- */

void node_shared_finish(struct node_shared *shared)
{
	for (size_t i = 0; i < shared->n; i++) {
		free(shared->list[i].key);
		free(shared->list[i].json);
	}
	free(shared->list);
	*shared = (struct node_shared){ 0 };
}

/* The data of a key: what the first worker sent. NULL: none, or no memory, and then each has its
 * own. */
static const char *shared_data(struct node_shared *shared, const char *key, const json_t *data)
{
	PM_FREE char *json = NULL;
	struct node_shared_data *more;

	for (size_t i = 0; i < shared->n; i++)
		if (strcmp(shared->list[i].key, key) == 0)
			return shared->list[i].json;
	if (data == NULL || json_is_null(data) || shared->n == SOCKETS_KEYS_MAX)
		return NULL;
	json = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY);
	if (json == NULL || strlen(json) > SHARED_DATA_MAX)
		return NULL;
	more = pm_realloc(shared->list, (shared->n + 1) * sizeof(*more));
	if (more == NULL)
		return NULL;
	shared->list = more;
	more[shared->n].key = pm_strdup(key);
	if (more[shared->n].key == NULL)
		return NULL;
	more[shared->n].json = PM_STEAL(json);
	return more[shared->n++].json;
}

/* ---- sending ---- */

static void handle_free(struct handle *h)
{
	if (h == NULL)
		return;
	pm_closep(&h->fd);
	free(h->json);
	free(h);
}

/* The first handle is dealt with. */
static void drop_first(struct node_primary *p)
{
	struct handle *h = p->queue;

	p->queue = h->next;
	p->n_queue--;
	if (p->queue == NULL)
		p->queue_end = &p->queue;
	handle_free(h);
}

static void send_json(struct node_primary *p, json_t *message)
{
	char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);

	if (text != NULL)
		(void)ipc_send(p->ipc, text); /* a worker that reads nothing gets nothing */
	free(text);
	json_decref(message);
}

static void send_next_handle(struct node_primary *p)
{
	while (!p->waiting && p->queue != NULL) {
		p->waiting = ipc_send_fd(p->ipc, p->queue->json, p->queue->fd);
		if (p->waiting)
			break;
		/* It does not read its messages, or has gone: then others take the connections. */
		if (p->queue->is_connection)
			break;
		drop_first(p);
	}
}

static void on_handle_ack(struct node_primary *p)
{
	if (!p->waiting || p->queue == NULL)
		return; /* nothing was sent: a worker's invention */
	p->waiting = false;
	drop_first(p);
	send_next_handle(p);
}

/* connection: the key that it came from; NULL: it is none. */
static bool queue_handle(struct node_primary *p, json_t *message, int fd,
                         const struct socket_key *connection)
{
	struct handle *h = p->n_queue == HANDLES_MAX ? NULL : pm_calloc(1, sizeof(*h));

	if (h == NULL)
		goto fail;
	h->fd = -1;
	h->is_connection = connection != NULL;
	if (connection != NULL)
		h->key = *connection;
	h->json = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);
	h->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (h->json == NULL || h->fd < 0)
		goto fail;
	json_decref(message);
	*p->queue_end = h;
	p->queue_end = &h->next;
	p->n_queue++;
	send_next_handle(p);
	return true;
fail:
	handle_free(h);
	json_decref(message);
	return false;
}

/* ---- queryServer ---- */

static int64_t number(const json_t *message, const char *name, int64_t missing)
{
	const json_t *value = json_object_get(message, name);

	return json_is_integer(value) ? (int64_t)json_integer_value(value) : missing;
}

/* The address a worker wants, as a key; false for what is none. */
static bool parse_key(const json_t *m, struct socket_key *key)
{
	const json_t *type = json_object_get(m, "addressType");
	const char *address = json_string_value(json_object_get(m, "address"));
	const char *udp = json_string_value(type);
	int64_t port = number(m, "port", 0), index = number(m, "index", 0);

	memset(key, 0, sizeof(*key));
	key->type = udp != NULL ? SOCK_DGRAM : SOCK_STREAM;
	key->backlog = (int)PM_MIN(PM_MAX(number(m, "backlog", 511), 0), 65535);
	key->index = index > 0 && index < UINT32_MAX ? (uint32_t)index : 0;
	if (number(m, "fd", -1) >= 0)
		return false; /* a descriptor of the primary's own: we have none to give */
	if (udp != NULL) {
		if (strcmp(udp, "udp4") != 0 && strcmp(udp, "udp6") != 0)
			return false;
		key->family = udp[3] == '4' ? AF_INET : AF_INET6;
	} else if (json_integer_value(type) == -1) {
		key->family = AF_UNIX;
	} else if (json_integer_value(type) == 4 || json_integer_value(type) == 6) {
		key->family = json_integer_value(type) == 4 ? AF_INET : AF_INET6;
	} else {
		return false;
	}
	if (address != NULL && strlen(address) >= sizeof(key->address))
		return false;
	if (address != NULL)
		memcpy(key->address, address, strlen(address) + 1);
	if (key->family == AF_UNIX)
		return key->address[0] != '\0';
	if (port < 0 || port > 65535)
		return false;
	key->port = (uint16_t)port;
	if (address == NULL && udp == NULL) { /* node's "any": IPv6 that takes IPv4 too */
		key->family = AF_INET6;
		key->dual = true;
	} else if (key->family == AF_INET6) {
		key->dual = (number(m, "flags", 0) & UV_TCP_IPV6ONLY) == 0 &&
		            (key->address[0] == '\0' || strcmp(key->address, "::") == 0);
	}
	return true;
}

static void key_text(const struct socket_key *key, char *out, size_t size)
{
	if (key->family == AF_UNIX)
		(void)snprintf(out, size, "%s", key->address);
	else
		(void)snprintf(out, size, "%s:%u", key->address[0] != '\0' ? key->address : "*",
		               key->port);
}

/* Names the handle to the worker; as node's own primary makes it. */
static void handle_name(const struct socket_key *key, char *out, size_t size)
{
	(void)snprintf(out, size, "%s:%u:%d%s:%u", key->address, key->port, key->family,
	               key->type == SOCK_DGRAM ? "u"
	               : key->dual             ? "d"
	                                       : "",
	               key->index);
}

/* The key of that name; NULL: it was invented. */
static const struct socket_key *find_key(const struct node_primary *p, const char *name)
{
	const struct socket_key *key;
	char text[192];

	for (size_t i = 0; name != NULL && (key = sockets_key(p->sockets, i)) != NULL; i++) {
		handle_name(key, text, sizeof(text));
		if (strcmp(text, name) == 0)
			return key;
	}
	return NULL;
}

static json_t *answer(const json_t *seq, const char *name, int errnum, const char *data)
{
	json_t *parsed = data == NULL ? json_null() : json_loads(data, JSON_DECODE_ANY, NULL);

	return json_pack("{s:s, s:O, s:s, s:i, s:o}", "cmd", "NODE_CLUSTER", "ack", seq, "key",
	                 name, "errno", -errnum, "data", parsed == NULL ? json_null() : parsed);
}

static void on_query_server(struct node_primary *p, const json_t *m)
{
	json_t *seq = json_object_get(m, "seq");
	struct pm_error err = { .what = "an address that cannot be shared" };
	struct socket_key key;
	char name[192], text[160];
	int fd = -1, errnum = EINVAL;

	if (p->leaving || !json_is_integer(seq))
		return; /* as node's own primary does; or it could not be answered */
	if (parse_key(m, &key) &&
	    sockets_get(p->sockets, &key, p->seat, p->generation, &fd, &errnum, &err) == 0)
		errnum = 0;
	handle_name(&key, name, sizeof(name));
	if (errnum != 0) {
		key_text(&key, text, sizeof(text));
		send_json(p, answer(seq, name, errnum, NULL));
		p->hooks.refused(p->hooks.arg, text, err.what);
		return;
	}
	/* A declared one was given to the process as systemd does, which waits in accept(): node
	 * before 20 accepts until nothing is left, and would hang there. */
	(void)sockets_do_not_wait(fd); /* fails for no socket of ours */
	if (!queue_handle(
		    p,
		    json_pack("{s:s, s:s, s:o}", "cmd", "NODE_HANDLE", "type",
	                      key.type == SOCK_DGRAM ? "dgram.Native" : "net.Native", "msg",
	                      answer(seq, name, 0,
	                             shared_data(p->shared, name, json_object_get(m, "data")))),
		    fd, NULL))
		send_json(p, answer(seq, name, ENOMEM, NULL));
}

/* ---- common sockets ---- */

static void invite(struct node_primary *p, const struct socket_key *key)
{
	char name[192];
	struct pm_error err;
	int fd;

	if (!sockets_has_asked_for(p->sockets, key, p->seat, p->generation) ||
	    sockets_has_joined(p->sockets, key, p->seat, p->generation) ||
	    (p->common.invited & sockets_bit(p->sockets, key)) != 0 ||
	    sockets_get_common(p->sockets, key, &fd, &err) < 0)
		return;
	handle_name(key, name, sizeof(name));
	if (queue_handle(p,
	                 json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "cmd", "NODE_HANDLE", "type",
	                           "net.Native", "msg", "cmd", "NODE_PMD", "act", PRELOAD_JOIN,
	                           "key", name),
	                 fd, NULL))
		p->common.invited |= sockets_bit(p->sockets, key);
}

void node_primary_join(struct node_primary *p)
{
	const struct socket_key *key;

	if (p->leaving)
		return;
	p->common.wanted = true;
	if (!p->common.asked)
		p->common.asked = ipc_send(p->ipc, PRELOAD_ABLE_MESSAGE);
	for (size_t i = 0; p->common.able && (key = sockets_key(p->sockets, i)) != NULL; i++)
		invite(p, key);
}

void node_primary_leave(struct node_primary *p)
{
	if (!p->common.wanted)
		return;
	p->common.wanted = false;
	p->common.invited = 0;
	sockets_leave(p->sockets, p->seat, p->generation);
	(void)ipc_send(p->ipc,
	               PRELOAD_LEAVE_MESSAGE); /* else it does not read, and accepts nothing */
	p->hooks.left(p->hooks.arg);
}

static void on_joined(struct node_primary *p, const json_t *m)
{
	const char *name = json_string_value(json_object_get(m, "key"));
	const struct socket_key *key = find_key(p, name);
	const json_t *ok = json_object_get(m, "ok");

	if (key == NULL || !json_is_boolean(ok))
		return;
	if (json_is_false(ok)) { /* it does not, or no longer */
		p->common.invited &= ~sockets_bit(p->sockets, key);
		if (!sockets_has_joined(p->sockets, key, p->seat, p->generation))
			return;
		sockets_unjoin(p->sockets, key, p->seat, p->generation);
		p->hooks.left(p->hooks.arg);
	} else if (!p->common.wanted) /* the invitation was under way when it was told to leave */
		(void)ipc_send(p->ipc, PRELOAD_LEAVE_MESSAGE);
	else if ((p->common.invited & sockets_bit(p->sockets, key)) != 0)
		sockets_join(p->sockets, key, p->seat, p->generation);
}

/* Each change is a new program in the kernel. It says a thing once, so what ours says must never be
 * missed: several changes may come at once, when we had something else to do. */
static void on_brief(struct node_primary *p, const json_t *m)
{
	uint64_t now = pm_now_ms();

	if (p->common.n_brief == 0 || now - p->common.brief_ms >= BRIEF_WHILE_MS) {
		p->common.n_brief = 0;
		p->common.brief_ms = now;
	}
	if (p->common.n_brief == BRIEF_CHANGES_MAX)
		return;
	p->common.n_brief++;
	sockets_set_brief(p->sockets, p->seat, p->generation,
	                  json_is_true(json_object_get(m, "on")));
}

static void on_preloaded(struct node_primary *p, const json_t *m)
{
	const char *act = json_string_value(json_object_get(m, "act"));

	if (act == NULL)
		return;
	if (strcmp(act, PRELOAD_ABLE) == 0) {
		p->common.able = p->common.asked;
		if (p->common.wanted)
			node_primary_join(p);
	} else if (strcmp(act, PRELOAD_JOINED) == 0) {
		on_joined(p, m);
	} else if (strcmp(act, PRELOAD_BRIEF) == 0) {
		on_brief(p, m);
	}
}

/* ---- the rest ---- */

static void on_listening(struct node_primary *p, const json_t *m)
{
	struct socket_key key;
	char text[160];

	if (!parse_key(m, &key))
		return;
	p->n_listening++;
	key_text(&key, text, sizeof(text));
	p->hooks.listening(p->hooks.arg, text);
}

/* It names what it was told as the name, not the address. */
static void on_close(struct node_primary *p, const json_t *m)
{
	const char *name = json_string_value(json_object_get(m, "key"));
	const struct socket_key *key;

	p->n_listening -= p->n_listening > 0;
	key = find_key(p, name);
	if (key != NULL) {
		sockets_unask(p->sockets, key, p->seat, p->generation);
		p->common.invited &= ~sockets_bit(p->sockets, key);
		/* One that only tries whether a port is free, before it listens for good. */
		if (!p->leaving)
			sockets_close_tried(p->sockets, key, p->seat, p->generation);
	}
	p->hooks.closed(p->hooks.arg);
}

static void on_cluster(struct node_primary *p, const json_t *m)
{
	const char *act = json_string_value(json_object_get(m, "act"));

	if (act == NULL)
		return; /* an answer to something of ours: disconnect needs none */
	if (strcmp(act, "online") == 0) {
		p->hooks.online(p->hooks.arg);
	} else if (strcmp(act, "queryServer") == 0) {
		on_query_server(p, m);
	} else if (strcmp(act, "listening") == 0) {
		on_listening(p, m);
	} else if (strcmp(act, "close") == 0) {
		on_close(p, m);
	} else if (strcmp(act, "exitedAfterDisconnect") == 0) {
		json_t *seq = json_object_get(m, "seq");

		if (json_is_integer(seq))
			send_json(p, json_pack("{s:s, s:O}", "cmd", "NODE_CLUSTER", "ack", seq));
	}
}

void node_primary_on_line(struct node_primary *p, const char *line, size_t len)
{
	const char *cmd;
	json_t *m;

	/* The app's own messages are not parsed here: most are, and they may be large. */
	if (memmem(line, len, "\"NODE_", 6) == NULL) {
		p->hooks.message(p->hooks.arg, line, len);
		return;
	}
	m = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	cmd = json_string_value(json_object_get(m, "cmd"));
	if (cmd == NULL || strncmp(cmd, "NODE_", 5) != 0) {
		p->hooks.message(p->hooks.arg, line, len);
	} else if (strcmp(cmd, "NODE_HANDLE_ACK") == 0 || strcmp(cmd, "NODE_HANDLE_NACK") == 0) {
		on_handle_ack(p);
	} else if (strcmp(cmd, "NODE_CLUSTER") == 0) {
		on_cluster(p, m);
	} else if (strcmp(cmd, "NODE_PMD") == 0) {
		on_preloaded(p, m);
	} else if (strcmp(cmd, "NODE_HANDLE") == 0) {
		/* A descriptor for us, closed already: say that it came, or no further one will. */
		send_json(p, json_pack("{s:s}", "cmd", "NODE_HANDLE_ACK"));
	}
	json_decref(m);
}

bool node_primary_has_room(const struct node_primary *p)
{
	/* The rest is for the sockets that it asks for. */
	return !p->leaving && p->n_queue < HANDLES_MAX / 2;
}

unsigned node_primary_n_given(const struct node_primary *p)
{
	unsigned n = 0;

	for (const struct handle *h = p->queue; h != NULL && !ipc_has_ended(p->ipc); h = h->next)
		n += h->is_connection;
	return n;
}

bool node_primary_take_back(struct node_primary *p, struct socket_key *key, int *fd)
{
	while (p->queue != NULL) {
		bool found = p->queue->is_connection;

		if (found) {
			*key = p->queue->key;
			*fd = PM_STEAL_FD(p->queue->fd);
		}
		drop_first(p);
		if (found)
			return true;
	}
	p->waiting = false;
	return false;
}

bool node_primary_give(struct node_primary *p, const struct socket_key *key, int fd)
{
	char name[192];

	if (p->leaving)
		return false;
	handle_name(key, name, sizeof(name));
	return queue_handle(p,
	                    json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "cmd", "NODE_HANDLE", "type",
	                              "net.Native", "msg", "cmd", "NODE_CLUSTER", "act", "newconn",
	                              "key", name),
	                    fd, key);
}

bool node_primary_drain(struct node_primary *p)
{
	return ipc_send(p->ipc, PRELOAD_DRAIN_MESSAGE);
}

void node_primary_is_leaving(struct node_primary *p)
{
	p->leaving = true;
	while (p->queue != NULL)
		drop_first(p);
	p->waiting = false;
}

bool node_primary_disconnect(struct node_primary *p)
{
	node_primary_is_leaving(p);
	return ipc_send(p->ipc, "{\"cmd\":\"NODE_CLUSTER\",\"act\":\"disconnect\"}");
}

unsigned node_primary_n_listening(const struct node_primary *p)
{
	return p->n_listening;
}

int node_primary_create(struct ipc *ipc, struct sockets *sockets, struct node_shared *shared,
                        uint32_t seat, unsigned generation, const struct node_primary_hooks *hooks,
                        struct node_primary **out, struct pm_error *err)
{
	struct node_primary *p = pm_calloc(1, sizeof(*p));

	if (p == NULL)
		return pm_fail(err, PM_NO_MEMORY, "cluster worker");
	p->ipc = ipc;
	p->sockets = sockets;
	p->shared = shared;
	p->seat = seat;
	p->generation = generation;
	p->hooks = *hooks;
	p->queue_end = &p->queue;
	*out = p;
	return 0;
}

void node_primary_destroy(struct node_primary *p)
{
	if (p == NULL)
		return;
	while (p->queue != NULL)
		drop_first(p);
	free(p);
}
