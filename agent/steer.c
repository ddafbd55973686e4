#include "agent/steer.h"

#include <assert.h>

/* Loads at these offsets see the packet's network header and what the kernel knows of it. */
#define NET    ((uint32_t)SKF_NET_OFF)
#define RANDOM ((uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM))

/* 2^32 / golden ratio: spreads addresses that differ in any bit over the upper half. */
#define MIX 0x9e3779b1u

struct stretch {
	uint16_t first, step, count;
};

static void put(struct steer_program *p, unsigned code, uint32_t k)
{
	p->code[p->len++] = (struct sock_filter){ .code = (uint16_t)code, .k = k };
}

static void jump(struct steer_program *p, unsigned code, uint32_t k, uint8_t yes, uint8_t no)
{
	p->code[p->len++] = (struct sock_filter){ .code = (uint16_t)(BPF_JMP | code), yes, no, k };
}

/* A = a number that depends on the peer alone. Both headers are there, or the packet would not have
 * come so far; extension headers of IPv6 stand in for the port, and stay the same for a peer. */
static void put_peer(struct steer_program *p)
{
	put(p, BPF_LD | BPF_B | BPF_ABS, NET);
	put(p, BPF_ALU | BPF_RSH | BPF_K, 4);
	jump(p, BPF_JEQ | BPF_K, 6, 7, 0);
	put(p, BPF_LD | BPF_W | BPF_ABS, NET + 12); /* IPv4: source address */
	put(p, BPF_ALU | BPF_MUL | BPF_K, MIX);
	put(p, BPF_ALU | BPF_RSH | BPF_K, 16);
	put(p, BPF_ST, 0);
	put(p, BPF_LDX | BPF_B | BPF_MSH, NET);
	put(p, BPF_LD | BPF_H | BPF_IND, NET); /* source port */
	jump(p, BPF_JA, 14, 0, 0);
	put(p, BPF_LD | BPF_W | BPF_ABS, NET + 8); /* IPv6: source address */
	for (uint32_t at = 12; at <= 20; at += 4) {
		put(p, BPF_MISC | BPF_TAX, 0);
		put(p, BPF_LD | BPF_W | BPF_ABS, NET + at);
		put(p, BPF_ALU | BPF_XOR | BPF_X, 0);
	}
	put(p, BPF_ALU | BPF_MUL | BPF_K, MIX);
	put(p, BPF_ALU | BPF_RSH | BPF_K, 16);
	put(p, BPF_ST, 0);
	put(p, BPF_LD | BPF_H | BPF_ABS, NET + 40); /* source port */
	put(p, BPF_LDX | BPF_MEM, 0);
	put(p, BPF_ALU | BPF_ADD | BPF_X, 0);
	/* Ports of one client may differ in some bits only. */
	put(p, BPF_ALU | BPF_MUL | BPF_K, MIX);
	put(p, BPF_ALU | BPF_RSH | BPF_K, 16);
}

static struct stretch next_stretch(const uint16_t *indices, size_t n)
{
	struct stretch s = { .first = indices[0], .step = 1, .count = 1 };

	if (n > 1 && (indices[1] == s.first + 1 || indices[1] == s.first + 2)) {
		s.step = (uint16_t)(indices[1] - s.first);
		while (s.count < n && indices[s.count] == s.first + s.count * s.step)
			s.count++;
	}
	return s;
}

static uint32_t word_at(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* The last two steps of an aim: the port is in A. */
static void put_aim_end(struct steer_program *p, const struct steer_aim *aim)
{
	jump(p, BPF_JEQ | BPF_K, aim->port, 0, 1);
	put(p, BPF_RET | BPF_K, aim->index);
}

/* Whatever does not fit jumps behind all of it. */
static void put_aim(struct steer_program *p, const struct steer_aim *aim)
{
	put(p, BPF_LD | BPF_B | BPF_ABS, NET);
	put(p, BPF_ALU | BPF_RSH | BPF_K, 4);
	if (!aim->v6) {
		jump(p, BPF_JEQ | BPF_K, 4, 0, 6);
		put(p, BPF_LD | BPF_W | BPF_ABS, NET + 12);
		jump(p, BPF_JEQ | BPF_K, word_at(aim->address), 0, 4);
		put(p, BPF_LDX | BPF_B | BPF_MSH, NET);
		put(p, BPF_LD | BPF_H | BPF_IND, NET);
		put_aim_end(p, aim);
		return;
	}
	jump(p, BPF_JEQ | BPF_K, 6, 0, 11);
	for (unsigned i = 0; i < 4; i++) {
		put(p, BPF_LD | BPF_W | BPF_ABS, NET + 8 + 4 * i);
		jump(p, BPF_JEQ | BPF_K, word_at(aim->address + 4 * i), 0,
		     (uint8_t)(3 + 2 * (3 - i)));
	}
	put(p, BPF_LD | BPF_H | BPF_ABS, NET + 40);
	put_aim_end(p, aim);
}

void steer_build(struct steer_program *p, enum steer_by by, const uint16_t *indices, size_t n)
{
	steer_build_aimed(p, by, indices, n, NULL, 0, STEER_NO_COMMON);
}

void steer_build_aimed(struct steer_program *p, enum steer_by by, const uint16_t *indices, size_t n,
                       const struct steer_aim *aims, size_t n_aims, int common)
{
	struct stretch s[STEER_STRETCHES_MAX];
	size_t n_stretches = 0, at = 0;
	uint32_t before = 0; /* indices of the stretches before */

	assert(n > 0 && n_aims <= STEER_AIMS_MAX);
	p->len = 0;
	for (size_t i = 0; i < n_aims; i++)
		put_aim(p, &aims[i]);
	if (common != STEER_NO_COMMON) {
		put(p, BPF_LD | BPF_W | BPF_ABS, RANDOM);
		jump(p, BPF_JGE | BPF_K, STEER_COMMON_SHARE, 1, 0);
		put(p, BPF_RET | BPF_K, (uint32_t)common);
	}
	while (at < n && n_stretches < STEER_STRETCHES_MAX) {
		s[n_stretches] = next_stretch(indices + at, n - at);
		at += s[n_stretches++].count;
	}
	if (at == 1) {
		put(p, BPF_RET | BPF_K, indices[0]);
		return;
	}
	if (by == STEER_RANDOM)
		put(p, BPF_LD | BPF_W | BPF_ABS, RANDOM);
	else
		put_peer(p);
	put(p, BPF_ALU | BPF_MOD | BPF_K, (uint32_t)at);
	for (size_t i = 0; i < n_stretches; i++) {
		uint32_t end = before + s[i].count;

		if (i + 1 < n_stretches)
			jump(p, BPF_JGE | BPF_K, end, s[i].step == 2 ? 3 : 2, 0);
		if (s[i].step == 2)
			put(p, BPF_ALU | BPF_LSH | BPF_K, 1);
		put(p, BPF_ALU | BPF_ADD | BPF_K, s[i].first - before * s[i].step);
		put(p, BPF_RET | BPF_A, 0);
		before = end;
	}
}
