#include "proto/check.h"

#include "proto/limits.h"
#include "proto/listen_addr.h"
#include <stdio.h>
#include <string.h>

#define HTTP_PORT       80
#define HEADER_MAX      1024
#define HEADERS_MAX     16
#define BODY_MAX        256
#define ARGS_MAX        64
#define PERIOD_MIN_MS   100
#define PERIOD_MAX_MS   86400000u
#define TIMEOUT_MIN_MS  10
#define TIMEOUT_MAX_MS  600000u
#define THRESHOLD_MAX   1000u
#define NET_PERIOD_MS   5000
#define NET_TIMEOUT_MS  2000
#define EXEC_PERIOD_MS  10000
#define EXEC_TIMEOUT_MS 5000
#define FAIL_DEFAULT    3
#define OK_DEFAULT      1

const char *const check_role_names[CHECK_ROLES] = {
	[CHECK_STARTUP] = "startup",
	[CHECK_READY] = "ready",
	[CHECK_LIVE] = "live",
};

static int bad(const char *text, const char *why, struct pm_error *err)
{
	(void)pm_fail(err, PM_CONFIG, "\"%.80s\" is not a check: %s", text, why);
	pm_hint(err, "http://:PORT/PATH, tcp://:PORT, unix:///PATH, 'exec PROGRAM ARGS', notify");
	return -1;
}

/* ---- where it goes ---- */

static int take_listen_addr(const char *text, struct check_target *out, struct pm_error *err)
{
	struct listen_addr a;

	if (listen_addr_parse(text, &a, err) < 0)
		return bad(text, "an address has numbers and a port", err);
	out->kind = CHECK_CONNECT;
	out->port = a.port;
	out->family = a.kind == LISTEN_UNIX ? CHECK_UNIX
	              : a.v6 && !a.dual     ? CHECK_INET6
	                                    : CHECK_INET;
	if (a.dual && strchr(text, '[') != NULL)
		out->family = CHECK_INET6; /* [::], written so */
	if (a.address[0] == '\0')
		(void)snprintf(a.address, sizeof(a.address), "%s",
		               out->family == CHECK_INET6 ? "::1" : "127.0.0.1");
	memcpy(out->address, a.address, sizeof(out->address));
	return 0;
}

/* "unix:/run/app.sock:/healthz", behind http:// */
static int take_http_unix(const char *text, struct check_target *out, struct pm_error *err)
{
	const char *path = text + strlen("http://unix:");
	const char *end = strstr(path, ":/");
	size_t len = end != NULL ? (size_t)(end - path) : strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(out->address))
		return bad(text, "http://unix:/PATH/OF/SOCKET:/PATH", err);
	out->family = CHECK_UNIX;
	memcpy(out->address, path, len);
	return end != NULL ? snprintf(out->path, sizeof(out->path), "%s", end + 1) : 0;
}

/* "127.0.0.1:3000/healthz", behind http:// */
static int take_http_inet(const char *text, struct check_target *out, struct pm_error *err)
{
	const char *host = text + strlen("http://"), *slash = strchr(host, '/');
	size_t len = slash != NULL ? (size_t)(slash - host) : strlen(host);
	char address[sizeof("tcp://") + 128];
	bool local = strncmp(host, "localhost", 9) == 0;
	const char *colon, *from = local ? host + 9 : host;

	len -= local ? 9 : 0;
	if (len > 100)
		return bad(text, "the address is too long", err);
	(void)snprintf(address, sizeof(address), "tcp://%.*s", (int)len, from);
	colon = strrchr(address + 6, ':');
	if (colon == NULL || strchr(colon, ']') != NULL)
		(void)snprintf(address, sizeof(address), "tcp://%.*s:%d", (int)len, from,
		               HTTP_PORT);
	if (take_listen_addr(address, out, err) < 0)
		return bad(text, "hosts are numbers such as 127.0.0.1 or [::1], or localhost", err);
	return slash != NULL ? snprintf(out->path, sizeof(out->path), "%s", slash) : 0;
}

/* A blank or a line's end would make it another request. */
static bool is_request_path(const char *path)
{
	for (const unsigned char *s = (const unsigned char *)path; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f)
			return false;
	return path[0] == '/';
}

static int take_http(const char *text, struct check_target *out, struct pm_error *err)
{
	int len = strncmp(text, "http://unix:", 12) == 0 ? take_http_unix(text, out, err)
	                                                 : take_http_inet(text, out, err);

	if (len < 0)
		return -1;
	out->kind = CHECK_HTTP;
	if (len == 0)
		(void)snprintf(out->path, sizeof(out->path), "/");
	if ((size_t)len >= sizeof(out->path) || !is_request_path(out->path))
		return bad(text, "its path holds blanks or other signs, or is too long", err);
	return 0;
}

int check_parse(const char *text, struct check_target *out, struct pm_error *err)
{
	struct check_target t = { .family = CHECK_NOWHERE };
	int rc = 0;

	if (strcmp(text, "notify") == 0)
		t.kind = CHECK_NOTIFY;
	else if (strcmp(text, "exec") == 0)
		t.kind = CHECK_EXEC;
	else if (strncmp(text, "http://", 7) == 0)
		rc = take_http(text, &t, err);
	else if (strncmp(text, "tcp://", 6) == 0 || strncmp(text, "unix://", 7) == 0)
		rc = take_listen_addr(text, &t, err);
	else if (strncmp(text, "https://", 8) == 0)
		rc = bad(text, "TLS is not spoken; check a plain port, or 'exec' a program", err);
	else
		rc = bad(text, "nothing that can be looked at", err);
	if (rc == 0)
		*out = t;
	return rc;
}

/* ---- of an app ---- */

const Pm__HealthCheck *check_of(const Pm__AppSpec *spec, enum check_role role)
{
	switch (role) {
	case CHECK_STARTUP:
		return spec->startup;
	case CHECK_READY:
		return spec->ready;
	case CHECK_LIVE:
		return spec->live;
	case CHECK_ROLES:
		break;
	}
	return NULL;
}

static bool is_notify(const Pm__HealthCheck *check)
{
	return strcmp(check->what, "notify") == 0;
}

bool check_wants_ready(const Pm__AppSpec *spec)
{
	return spec->wait_ready || (spec->ready != NULL && is_notify(spec->ready));
}

bool check_wants_notify(const Pm__AppSpec *spec)
{
	return spec->watchdog_ms != 0 || check_wants_ready(spec);
}

bool check_gates(const Pm__AppSpec *spec)
{
	return spec->startup != NULL || (spec->ready != NULL && !is_notify(spec->ready));
}

void check_defaults(Pm__HealthCheck *c)
{
	bool exec = strcmp(c->what, "exec") == 0;

	if (c->period_ms == 0)
		c->period_ms = exec ? EXEC_PERIOD_MS : NET_PERIOD_MS;
	if (c->timeout_ms == 0)
		c->timeout_ms = exec ? EXEC_TIMEOUT_MS : NET_TIMEOUT_MS;
	if (c->fail == 0)
		c->fail = FAIL_DEFAULT;
	if (c->ok == 0)
		c->ok = OK_DEFAULT;
}

static bool is_printable(const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s != '\0'; s++)
		if (*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

/* "Name: value" of RFC 9110, 5.5; the name is a token. */
static bool is_header(const char *line)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t len = strspn(line, token);

	return len > 0 && line[len] == ':' && strlen(line) <= HEADER_MAX && is_printable(line);
}

static int range(const char *key, const char *what, uint32_t value, uint32_t min, uint32_t max,
                 struct pm_error *err)
{
	if (value >= min && value <= max)
		return 0;
	return pm_fail(err, PM_CONFIG, "%s.%s: expected %u to %u, found %u", key, what, min, max,
	               value);
}

static int check_http(const Pm__HealthCheck *c, enum check_kind kind, const char *key,
                      struct pm_error *err)
{
	if (kind != CHECK_HTTP && (c->body[0] != '\0' || c->n_headers > 0))
		return pm_fail(err, PM_CONFIG, "%s: only an http check has a body or headers", key);
	if (strlen(c->body) > BODY_MAX)
		return pm_fail(err, PM_CONFIG, "%s.body: over %d bytes", key, BODY_MAX);
	if (c->n_headers > HEADERS_MAX)
		return pm_fail(err, PM_CONFIG, "%s.headers: more than %d", key, HEADERS_MAX);
	for (size_t i = 0; i < c->n_headers; i++)
		if (!is_header(c->headers[i]))
			return pm_fail(err, PM_CONFIG,
			               "%s.headers: a name and a value of printable "
			               "characters are expected",
			               key);
	return 0;
}

int check_validate(const Pm__HealthCheck *c, enum check_role role, struct pm_error *err)
{
	const char *key = check_role_names[role];
	struct check_target target;

	if (check_parse(c->what, &target, err) < 0)
		return pm_wrap(err, "%s", key);
	if (target.kind == CHECK_NOTIFY && role != CHECK_READY) {
		(void)pm_fail(err, PM_CONFIG, "%s: notify is for `ready` alone", key);
		pm_hint(err, "an app that says over NOTIFY_SOCKET that it lives has `watchdog`");
		return -1;
	}
	if ((target.kind == CHECK_EXEC) != (c->n_argv > 0) || c->n_argv > ARGS_MAX ||
	    (c->n_argv > 0 && c->argv[0][0] == '\0'))
		return pm_fail(err, PM_CONFIG,
		               "%s: exec takes a program and at most %d "
		               "arguments",
		               key, ARGS_MAX - 1);
	if (range(key, "period", c->period_ms, PERIOD_MIN_MS, PERIOD_MAX_MS, err) < 0 ||
	    range(key, "timeout", c->timeout_ms, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, err) < 0 ||
	    range(key, "fail", c->fail, 1, THRESHOLD_MAX, err) < 0 ||
	    range(key, "ok", c->ok, 1, THRESHOLD_MAX, err) < 0)
		return -1;
	return check_http(c, target.kind, key, err);
}

void check_text(const Pm__HealthCheck *c, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, "%s", c->what);

	for (size_t i = 0; i < c->n_argv && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, " %s", c->argv[i]);
}
