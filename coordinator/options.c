#include "coordinator/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define TTL_MAX_S     (30ul * 24 * 3600)
#define OVERLAP_MAX_S (365ul * 24 * 3600)

int options_usage(FILE *to)
{
	(void)fprintf(to, "usage: pmd coordinator [--home DIR] [--listen tcp://ADDR:PORT]...\n"
	                  "                       [--advertise HOST:PORT]... [--user NAME]\n"
	                  "                       [--heartbeat-ms MS] [--key-overlap SECONDS]\n"
	                  "                       [--gates DIR]\n"
	                  "                       [--gate-allow PREFIX]... [--prometheus URL]\n"
	                  "       pmd coordinator token [--home DIR] --role ROLE [--name NAME]\n"
	                  "                       [--ttl SECONDS] [--advertise HOST:PORT]...\n"
	                  "       pmd coordinator backup [--home DIR] [--name FILE]\n"
	                  "       pmd coordinator rotate [--home DIR] [--finish [--force]]\n"
	                  "ROLE is viewer, logs, operator, deployer or admin.\n");
	return to == stdout ? 0 : 2;
}

/* tcp://ADDR:PORT with a numeric address; nothing for ADDR means all of them. */
int options_parse_listen(const char *arg, struct sockaddr_storage *out, struct pm_error *err)
{
	struct pm_address a;
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)out;

	if (pm_address_parse(arg, &a, err) < 0)
		return -1;
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, a.host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(a.port);
		return 0;
	}
	if (inet_pton(AF_INET6, a.host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a.port);
		return 0;
	}
	return pm_fail(err, PM_USAGE,
	               "--listen %.100s: a numeric address, such as tcp://0.0.0.0:%d", arg,
	               PM_DEFAULT_PORT);
}

enum {
	OPT_HEARTBEAT = 256,
	OPT_KEY_OVERLAP,
	OPT_FINISH,
	OPT_GATES,
	OPT_GATE_ALLOW,
	OPT_PROMETHEUS,
	OPT_FORCE
};

static int number(const char *option, const char *arg, unsigned long most, uint32_t *out,
                  struct pm_error *err)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(arg, &end, 10);
	if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || errno != 0 || n == 0 || n > most)
		return pm_fail(err, PM_USAGE, "%s: expected 1 to %lu, found '%.40s'", option, most,
		               arg);
	*out = (uint32_t)n;
	return 0;
}

int options_parse(int argc, char **argv, struct options *o, struct pm_error *err)
{
	static const struct option longs[] = {
		{ "home", required_argument, NULL, 'h' },
		{ "listen", required_argument, NULL, 'l' },
		{ "advertise", required_argument, NULL, 'a' },
		{ "user", required_argument, NULL, 'u' },
		{ "role", required_argument, NULL, 'r' },
		{ "name", required_argument, NULL, 'n' },
		{ "ttl", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'H' },
		{ "heartbeat-ms", required_argument, NULL, OPT_HEARTBEAT },
		{ "key-overlap", required_argument, NULL, OPT_KEY_OVERLAP },
		{ "finish", no_argument, NULL, OPT_FINISH },
		{ "gates", required_argument, NULL, OPT_GATES },
		{ "gate-allow", required_argument, NULL, OPT_GATE_ALLOW },
		{ "prometheus", required_argument, NULL, OPT_PROMETHEUS },
		{ "force", no_argument, NULL, OPT_FORCE },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 'h':
			o->home = optarg;
			break;
		case 'l':
			if (o->n_listen == PM_ADDRESSES_MAX)
				return pm_fail(err, PM_USAGE, "--listen: at most %d",
				               PM_ADDRESSES_MAX);
			if (options_parse_listen(optarg, &o->listen[o->n_listen++], err) < 0)
				return -1;
			break;
		case 'a':
			if (o->n_advertise == PM_ADDRESSES_MAX)
				return pm_fail(err, PM_USAGE, "--advertise: at most %d",
				               PM_ADDRESSES_MAX);
			if (pm_address_parse(optarg, &o->advertise[o->n_advertise++], err) < 0)
				return -1;
			break;
		case 'u':
			o->user = optarg;
			break;
		case 'r':
			o->role = optarg;
			break;
		case 'n':
			o->name = optarg;
			break;
		case 't':
			if (number("--ttl", optarg, TTL_MAX_S, &o->ttl_s, err) < 0)
				return -1;
			break;
		case OPT_HEARTBEAT:
			if (number("--heartbeat-ms", optarg, 60000, &o->heartbeat_ms, err) < 0)
				return -1;
			break;
		case OPT_KEY_OVERLAP:
			if (number("--key-overlap", optarg, OVERLAP_MAX_S, &o->key_overlap_s, err) <
			    0)
				return -1;
			break;
		case OPT_FINISH:
			o->finish = true;
			break;
		case OPT_GATES:
			if (optarg[0] != '/')
				return pm_fail(err, PM_USAGE, "--gates %.100s: an absolute path",
				               optarg);
			o->gates.dir = optarg;
			break;
		case OPT_GATE_ALLOW:
			if (gates_allow(&o->gates, optarg, err) < 0)
				return -1;
			break;
		case OPT_PROMETHEUS:
			if (gates_set_prometheus(&o->gates, optarg, err) < 0)
				return -1;
			break;
		case OPT_FORCE:
			o->force = true;
			break;
		case 'H':
			o->help = true;
			return 0;
		default:
			return pm_fail(err, PM_USAGE, "see 'pmd coordinator --help'");
		}
	}
	if (optind < argc)
		return pm_fail(err, PM_USAGE, "%.60s: what is that?", argv[optind]);
	return 0;
}
