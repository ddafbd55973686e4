/*
 * steer.h - the classic BPF program that picks the socket of a new connection.  Pure.
 *
 * The program is attached to a group of SO_REUSEPORT sockets (SO_ATTACH_REUSEPORT_CBPF) and returns
 * an index into it: the order in which they called listen (TCP) or bind (UDP).
 *
 * TCP picks at random. Seen on Linux 6.18, the busiest of 2 workers: 50.3 % of 10,000 short
 * connections, 55.6 % of 64 kept ones on average; the hash of the packet (50.3, 55.8), the client's
 * port (50.3, 54.7) and the kernel's own hash (50.8, 54.9) are no more even. Random alone sends the
 * second SYN of a client whose first fell on a full queue to another worker, and leaves no client
 * the choice of its worker. UDP must keep the datagrams of one peer together, so it picks by the
 * peer's address and port.
 */
#ifndef PM_AGENT_STEER_H
#define PM_AGENT_STEER_H

#include <linux/filter.h>
#include <stdbool.h>

#include "proto/base.h"

/*
 * Indices are written as stretches with a step of 1 or 2 (seats have two sockets each, so all
 * workers of one generation are one stretch). Ready sockets behind the last of so many stretches
 * are not picked until the next change. The bound keeps the translated program below the kernel's
 * least net.core.optmem_max of 20 KiB.
 */
#define STEER_STRETCHES_MAX 256
/* Connections that are aimed at one time, and the instructions for each. */
#define STEER_AIMS_MAX  8
#define STEER_AIM_INSNS 14
#define STEER_INSNS_MAX (32 + 4 * STEER_STRETCHES_MAX + STEER_AIM_INSNS * STEER_AIMS_MAX)

/*
 * Of all connections, as a share of 2^32: 15 of 16. From a common socket whoever is free first
 * takes them, so none waits behind one worker while another is idle; who gets more time takes more,
 * and the few that are dealt evenly draw that together. Seen at full load of one connection a
 * request, 64 at a time, beside node's shared socket in the same run: all of them 1.01 times its
 * rate, the busier of two workers 54.5 %; 15 of 16 1.05 times, 51.5 %; 3 of 4 0.91 times, 50.4 %,
 * since what waits behind a worker that the kernel has set aside adds up.
 */
#define STEER_COMMON_SHARE 0xf0000000u
#define STEER_NO_COMMON    (-1)

enum steer_by {
	STEER_RANDOM, /* each connection anew */
	STEER_PEER,   /* by the peer's address and port; IPv4 and IPv6, UDP */
};

/* A connection from exactly there goes to that index, whatever else is picked: a check of one
 * worker, which has bound its end before it connects. IPv6 with extension headers is not
 * recognised. */
struct steer_aim {
	bool v6;             /* the packet is IPv6 */
	uint8_t address[16]; /* as in the header; IPv4 has 4 bytes */
	uint16_t port;       /* host order */
	uint16_t index;
};

struct steer_program {
	unsigned short len;
	struct sock_filter code[STEER_INSNS_MAX];
};

/*
 * Build the program that picks evenly among indices.
 *
 * indices  n >= 1 of them, in any order; ascending ones make the shortest program
 */
void steer_build(struct steer_program *p, enum steer_by by, const uint16_t *indices, size_t n);
/* The same after up to STEER_AIMS_MAX aims. common: the index that STEER_COMMON_SHARE of the
 * connections go to, whichever of the others was next; STEER_NO_COMMON: none. */
void steer_build_aimed(struct steer_program *p, enum steer_by by, const uint16_t *indices, size_t n,
                       const struct steer_aim *aims, size_t n_aims, int common);

#endif
