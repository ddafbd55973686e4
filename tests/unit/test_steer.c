#include "tests/unit/unit.h"

#include <stdbool.h>

#include "agent/steer.h"

/* What the program sees of a packet. */
struct packet {
	uint32_t random;
	uint8_t net[64]; /* from the network header on */
};

static uint32_t load(const struct packet *p, uint32_t at, size_t size)
{
	uint32_t value = 0;

	if (at == (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM))
		return p->random;
	at -= (uint32_t)SKF_NET_OFF;
	assert_true(at + size <= sizeof(p->net));
	for (size_t i = 0; i < size; i++)
		value = value << 8 | p->net[at + i];
	return value;
}

static uint32_t alu(unsigned code, uint32_t a, uint32_t b)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		return a + b;
	case BPF_MUL:
		return a * b;
	case BPF_MOD:
		return a % b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << b;
	case BPF_RSH:
		return a >> b;
	default:
		fail_msg("operation %#x", code);
		return 0;
	}
}

/* The instructions that steer_build() uses, as the kernel runs them. */
static uint32_t run(const struct steer_program *prog, const struct packet *p)
{
	uint32_t a = 0, x = 0, mem = 0;

	for (unsigned at = 0; at < prog->len; at++) {
		const struct sock_filter *f = &prog->code[at];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			a = load(p, f->k, 4);
			break;
		case BPF_LD | BPF_H | BPF_ABS:
			a = load(p, f->k, 2);
			break;
		case BPF_LD | BPF_B | BPF_ABS:
			a = load(p, f->k, 1);
			break;
		case BPF_LD | BPF_H | BPF_IND:
			a = load(p, f->k + x, 2);
			break;
		case BPF_LDX | BPF_B | BPF_MSH:
			x = 4 * (load(p, f->k, 1) & 15);
			break;
		case BPF_LDX | BPF_MEM:
			x = mem;
			break;
		case BPF_ST:
			mem = a;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_JMP | BPF_JA:
			at += f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			at += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		case BPF_RET | BPF_A:
			return a;
		default:
			a = alu(f->code, a, BPF_SRC(f->code) == BPF_X ? x : f->k);
		}
	}
	fail_msg("ran off the end");
	return 0;
}

static void each_ready_socket_is_picked_equally_often(void **state)
{
	static const struct {
		size_t n;
		uint16_t indices[10];
	} rows[] = {
		{ 1, { 5 } },
		{ 2, { 0, 2 } },          /* two workers of generation A */
		{ 4, { 1, 3, 5, 7 } },    /* four of B */
		{ 2, { 2, 3 } },          /* both of one seat */
		{ 4, { 0, 1, 2, 3 } },    /* both of two seats */
		{ 5, { 1, 3, 4, 6, 8 } }, /* in the middle of a reload */
		{ 3, { 0, 8, 100 } },     /* seats far apart */
		{ 3, { 2047, 2, 0 } },    /* the largest; not ascending */
		{ 10, { 0, 3, 4, 7, 8, 11, 12, 15, 16, 19 } },
	};
	struct steer_program p;

	(void)state;
	for (size_t i = 0; i < PM_COUNT(rows); i++) {
		unsigned seen[2048] = { 0 };
		struct packet packet = { 0 };

		steer_build(&p, STEER_RANDOM, rows[i].indices, rows[i].n);
		for (packet.random = 0; packet.random < rows[i].n * 3; packet.random++)
			seen[run(&p, &packet)]++;
		for (size_t k = 0; k < rows[i].n; k++)
			assert_int_equal(seen[rows[i].indices[k]], 3);
	}
}

static void the_largest_app_takes_a_short_program(void **state)
{
	static uint16_t indices[1024];
	struct packet packet = { .random = 1023 };
	struct steer_program p;

	(void)state;
	for (unsigned i = 0; i < PM_COUNT(indices); i++)
		indices[i] = (uint16_t)(2 * i + (i < 500)); /* half of a rolling reload */
	steer_build(&p, STEER_RANDOM, indices, PM_COUNT(indices));
	assert_true(p.len < 12);
	assert_int_equal(run(&p, &packet), 2046);
	packet.random = 499;
	assert_int_equal(run(&p, &packet), 999);
}

static void with_too_many_stretches_the_last_are_left_out(void **state)
{
	static uint16_t indices[600];
	struct packet packet = { 0 };
	struct steer_program p;

	(void)state;
	for (unsigned i = 0; i < PM_COUNT(indices); i++)
		indices[i] = (uint16_t)(3 * i);
	steer_build(&p, STEER_RANDOM, indices, PM_COUNT(indices));
	assert_true(p.len <= STEER_INSNS_MAX);
	for (packet.random = 0; packet.random < 3 * STEER_STRETCHES_MAX; packet.random++)
		assert_int_equal(run(&p, &packet), 3 * (packet.random % STEER_STRETCHES_MAX));
}

static void set_peer(struct packet *p, bool v6, unsigned client, unsigned port)
{
	size_t at = v6 ? 40 : 20;

	memset(p, 0, sizeof(*p));
	p->random = (uint32_t)rand();
	p->net[0] = v6 ? 0x60 : 0x45;
	if (v6)
		memcpy(p->net + 8, (uint8_t[]){ 0xfe, 0x80 }, 2);
	else
		p->net[12] = 10;
	p->net[v6 ? 22 : 14] = (uint8_t)(client >> 8);
	p->net[v6 ? 23 : 15] = (uint8_t)client;
	p->net[at] = (uint8_t)(port >> 8);
	p->net[at + 1] = (uint8_t)port;
}

static void the_datagrams_of_a_peer_stay_together(void **state)
{
	static const uint16_t indices[] = { 0, 2, 4 };
	struct steer_program p;
	struct packet packet;

	(void)state;
	steer_build(&p, STEER_PEER, indices, PM_COUNT(indices));
	for (unsigned v6 = 0; v6 < 2; v6++)
		for (unsigned client = 0; client < 20; client++) {
			uint32_t first;

			set_peer(&packet, v6 != 0, client, 5353);
			first = run(&p, &packet);
			packet.random = ~packet.random;
			packet.net[60] = 1; /* the payload */
			assert_int_equal(run(&p, &packet), first);
		}
}

static void peers_are_spread(void **state)
{
	static const uint16_t indices[] = { 0, 2, 4, 6 };
	/* Many clients with one port, one client with many ports, ports with a step. */
	static const struct {
		unsigned client_step, port_step;
	} rows[] = { { 1, 0 }, { 0, 1 }, { 0, 2 }, { 0, 16 }, { 256, 0 }, { 1, 1 } };
	struct steer_program p;
	struct packet packet;

	(void)state;
	steer_build(&p, STEER_PEER, indices, PM_COUNT(indices));
	for (size_t i = 0; i < 2 * PM_COUNT(rows); i++) {
		unsigned seen[8] = { 0 };

		for (unsigned k = 0; k < 256; k++) {
			set_peer(&packet, i % 2 != 0, k * rows[i / 2].client_step,
			         32768 + k * rows[i / 2].port_step);
			seen[run(&p, &packet)]++;
		}
		for (size_t k = 0; k < PM_COUNT(indices); k++)
			if (seen[indices[k]] < 32 || seen[indices[k]] > 96)
				fail_msg("row %zu: %u of 256 to %u", i, seen[indices[k]],
				         (unsigned)indices[k]);
	}
}

static void options_in_the_header_move_the_port(void **state)
{
	static const uint16_t indices[] = { 0, 2, 4, 6, 8, 10, 12 };
	struct packet plain, longer;
	struct steer_program p;

	(void)state;
	steer_build(&p, STEER_PEER, indices, PM_COUNT(indices));
	for (unsigned port = 1; port < 50; port++) {
		set_peer(&plain, false, 7, port);
		longer = plain;
		longer.net[0] = 0x46;
		longer.net[20] = longer.net[21] = 0xff;
		longer.net[24] = plain.net[20];
		longer.net[25] = plain.net[21];
		assert_int_equal(run(&p, &plain), run(&p, &longer));
	}
}

static struct steer_aim aim_at(bool v6, unsigned client, unsigned port, uint16_t index)
{
	struct steer_aim aim = { .v6 = v6, .port = (uint16_t)port, .index = index };
	struct packet packet;

	set_peer(&packet, v6, client, port);
	memcpy(aim.address, packet.net + (v6 ? 8 : 12), v6 ? 16 : 4);
	return aim;
}

static void only_the_connection_that_is_aimed_goes_there(void **state)
{
	static const uint16_t indices[] = { 0, 2 };
	const struct steer_aim aims[] = { aim_at(false, 7, 1000, 5), aim_at(true, 7, 1000, 7),
		                          aim_at(false, 8, 1001, 9) };
	struct steer_program p;
	struct packet packet;

	(void)state;
	steer_build_aimed(&p, STEER_RANDOM, indices, PM_COUNT(indices), aims, PM_COUNT(aims),
	                  STEER_NO_COMMON);
	for (unsigned v6 = 0; v6 < 2; v6++)
		for (unsigned client = 6; client < 10; client++)
			for (unsigned port = 999; port < 1003; port++) {
				unsigned want = 2;

				set_peer(&packet, v6 != 0, client, port);
				packet.random = 1;
				if (client == 7 && port == 1000)
					want = v6 != 0 ? 7 : 5;
				else if (v6 == 0 && client == 8 && port == 1001)
					want = 9;
				assert_int_equal(run(&p, &packet), want);
			}
	/* With one socket ready, too, and with options in the header. */
	steer_build_aimed(&p, STEER_RANDOM, indices, 1, aims, PM_COUNT(aims), STEER_NO_COMMON);
	set_peer(&packet, false, 7, 1000);
	packet.net[0] = 0x46;
	memmove(packet.net + 24, packet.net + 20, 2);
	assert_int_equal(run(&p, &packet), 5);
	set_peer(&packet, false, 1, 1000);
	assert_int_equal(run(&p, &packet), 0);
}

static void the_common_socket_gets_its_share_and_the_others_the_rest(void **state)
{
	static const uint16_t indices[] = { 0, 2 };
	const struct steer_aim aim = aim_at(false, 7, 1000, 5);
	struct steer_program p;
	struct packet packet;

	(void)state;
	steer_build_aimed(&p, STEER_RANDOM, indices, PM_COUNT(indices), &aim, 1, 9);
	set_peer(&packet, false, 8, 1000);
	packet.random = 0;
	assert_int_equal(run(&p, &packet), 9);
	packet.random = STEER_COMMON_SHARE - 1;
	assert_int_equal(run(&p, &packet), 9);
	packet.random = STEER_COMMON_SHARE;
	assert_int_equal(run(&p, &packet), 0);
	packet.random = UINT32_MAX;
	assert_int_equal(run(&p, &packet), 2);
	packet.random = 0;
	set_peer(&packet, false, 7, 1000);
	assert_int_equal(run(&p, &packet), 5);
}

static void the_longest_program_has_room(void **state)
{
	static uint16_t indices[600];
	struct steer_aim aims[STEER_AIMS_MAX];
	struct steer_program p;

	(void)state;
	for (unsigned i = 0; i < PM_COUNT(indices); i++)
		indices[i] = (uint16_t)(3 * i);
	for (unsigned i = 0; i < PM_COUNT(aims); i++)
		aims[i] = aim_at(true, i, 1, 1);
	steer_build_aimed(&p, STEER_PEER, indices, PM_COUNT(indices), aims, PM_COUNT(aims), 1);
	assert_true(p.len <= STEER_INSNS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_ready_socket_is_picked_equally_often),
		cmocka_unit_test(the_largest_app_takes_a_short_program),
		cmocka_unit_test(with_too_many_stretches_the_last_are_left_out),
		cmocka_unit_test(the_datagrams_of_a_peer_stay_together),
		cmocka_unit_test(peers_are_spread),
		cmocka_unit_test(options_in_the_header_move_the_port),
		cmocka_unit_test(only_the_connection_that_is_aimed_goes_there),
		cmocka_unit_test(the_common_socket_gets_its_share_and_the_others_the_rest),
		cmocka_unit_test(the_longest_program_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
