/* One queue for all who are ready, while their connections are brief. */
#include "tests/unit/sockets_rig.h"

static unsigned n_seats;

/* Two workers that are ready and have joined; the common socket. */
static int joined_pair(struct rig *r)
{
	struct pm_error err;
	int fd = -1;

	set_seats(r, n_seats = 2);
	for (uint32_t seat = 0; seat < 2; seat++) {
		(void)get(r, &tcp4, seat, 0);
		sockets_steer(r->s, seat, 0, true);
	}
	assert_int_equal(sockets_get_common(r->s, &tcp4, &fd, &err), 0);
	for (uint32_t seat = 0; seat < 2; seat++)
		sockets_join(r->s, &tcp4, seat, 0);
	return fd;
}

/* Of 400 connections so many go there; all go somewhere. */
static unsigned share_of(struct rig *r, int common)
{
	unsigned n, others = 0;

	for (unsigned i = 0; i < 400; i++)
		(void)close(dial(common, SOCK_STREAM));
	n = drain(common);
	for (unsigned i = 0; i < 2 * n_seats; i++)
		others += drain(get(r, &tcp4, i / 2, i % 2));
	assert_int_equal(n + others, 400);
	return n;
}

static void brief_connections_go_to_whoever_is_free(void **state)
{
	struct rig *r = *state;
	int common = joined_pair(r);

	assert_int_equal(share_of(r, common), 0);
	sockets_set_brief(r->s, 1, 0, true);
	assert_in_range(share_of(r, common), 340, 399); /* 375, the standard deviation is 5 */
	sockets_set_brief(r->s, 1, 0, false);
	assert_int_equal(share_of(r, common), 0);
}

static void it_is_left_alone_until_all_who_are_ready_have_joined(void **state)
{
	struct rig *r = *state;
	int common = joined_pair(r);

	sockets_set_brief(r->s, 0, 0, true);
	sockets_set_brief(r->s, 1, 0, true);
	(void)get(r, &tcp4, 1, 1);
	sockets_steer(r->s, 1, 1, true); /* a successor, which has not joined */
	assert_int_equal(share_of(r, common), 0);
	sockets_join(r->s, &tcp4, 1, 1);
	assert_true(share_of(r, common) > 200);
	sockets_leave(r->s, 1, 1);
	assert_false(sockets_has_joined(r->s, &tcp4, 1, 1));
	assert_int_equal(share_of(r, common), 0);
	sockets_steer(r->s, 1, 1, false);
	assert_true(share_of(r, common) > 200);
	sockets_begin(r->s, 1, 0); /* another process: it has not joined yet, nor said anything */
	assert_int_equal(share_of(r, common), 0);
	sockets_join(r->s, &tcp4, 1, 0);
	sockets_unask(r->s, &tcp4, 1, 0);
	assert_false(sockets_has_joined(r->s, &tcp4, 1, 0));
	/* One alone has nobody to share with. */
	assert_int_equal(share_of(r, common), 0);
}

/* Workers say how long their connections last when that changes; whether they sit there is another
 * matter: their checks may have failed meanwhile. */
static void what_was_said_of_connections_holds_over_leaving(void **state)
{
	struct rig *r = *state;
	int common = joined_pair(r);

	sockets_set_brief(r->s, 0, 0, true);
	sockets_leave(r->s, 0, 0);
	assert_int_equal(share_of(r, common), 0);
	sockets_join(r->s, &tcp4, 0, 0);
	assert_true(share_of(r, common) > 200);
	sockets_unjoin(r->s, &tcp4, 1, 0);
	assert_int_equal(share_of(r, common), 0);
	sockets_join(r->s, &tcp4, 1, 0);
	assert_true(share_of(r, common) > 200);
	sockets_begin(r->s, 0, 0);
	sockets_join(r->s, &tcp4, 0, 0);
	assert_int_equal(share_of(r, common), 0); /* another process */
}

static void what_waits_there_belongs_to_the_last_who_takes_from_it(void **state)
{
	struct rig *r = *state;
	int common = joined_pair(r);
	unsigned waiting = 0;

	sockets_set_brief(r->s, 0, 0, true);
	while (waiting == 0) {
		(void)close(dial(common, SOCK_STREAM));
		sockets_steer(r->s, 0, 0, false);
		assert_int_equal(sockets_abandoned(r->s, &tcp4), -1); /* the other one takes it */
		sockets_steer(r->s, 1, 0, false);
		waiting = sockets_abandoned(r->s, &tcp4) >= 0;
		for (uint32_t seat = 0; waiting == 0 && seat < 2; seat++)
			sockets_steer(r->s, seat, 0, true);
	}
	assert_int_equal(sockets_abandoned(r->s, &tcp4), common);
	for (uint32_t seat = 0; seat < 2; seat++)
		(void)drain(get(r, &tcp4, seat, 0));
	assert_int_equal(sockets_waiting(r->s, 0, 0), 1);
	sockets_steer(r->s, 1, 0, true);
	assert_int_equal(sockets_waiting(r->s, 0, 0), 0);
	assert_int_equal(sockets_waiting(r->s, 1, 0), 1);
	assert_int_equal(drain(common), 1);
	assert_int_equal(sockets_abandoned(r->s, &tcp4), -1);
}

/* The kernel's array of the group moves under it. */
static void it_keeps_its_place_among_sockets_that_come_and_go(void **state)
{
	struct rig *r = *state;
	int common = joined_pair(r);
	struct pm_error err;
	int again;

	sockets_set_brief(r->s, 0, 0, true);
	set_seats(r, n_seats = 4); /* more behind it */
	(void)get(r, &tcp4, 3, 1);
	sockets_steer(r->s, 3, 1, true);
	sockets_join(r->s, &tcp4, 3, 1);
	assert_true(share_of(r, common) > 200);
	/* A worker shuts down its own, and the last one moves; then the common one. */
	assert_int_equal(shutdown(get(r, &tcp4, 0, 1), SHUT_RDWR), 0);
	(void)get(r, &tcp4, 0, 1);
	sockets_steer(r->s, 3, 1, false);
	assert_true(share_of(r, common) > 200);
	assert_int_equal(shutdown(common, SHUT_RDWR), 0);
	assert_int_equal(sockets_get_common(r->s, &tcp4, &again, &err), 0);
	assert_int_equal(again, common);
	assert_true(share_of(r, common) > 200);
	assert_int_equal(shutdown(get(r, &tcp4, 1, 1), SHUT_RDWR), 0);
	(void)get(r, &tcp4, 1, 1);
	assert_true(share_of(r, common) > 200);
}

/* The supervisor dies; what the keeper holds is given back. */
static void die_and_come_back(struct rig *r)
{
	struct pm_error err;

	sockets_destroy(r->s, false);
	rig_open(r);
	for (size_t i = 0; i < r->n_held; i++)
		assert_true(sockets_restore(r->s, r->held[i].name,
		                            fcntl(r->held[i].fd, F_DUPFD_CLOEXEC, 0)));
	if (sockets_restored(r->s, &err) < 0)
		fail_msg("%s", err.what);
}

static void it_lives_on_when_the_supervisor_dies(void **state)
{
	struct rig *r = *state;
	struct pm_error err;
	int common;

	(void)joined_pair(r);
	sockets_set_brief(r->s, 0, 0, true);
	die_and_come_back(r);
	assert_int_equal(sockets_get_common(r->s, &tcp4, &common, &err), 0);
	assert_true(sockets_has_joined(r->s, &tcp4, 0, 0));
	assert_true(share_of(r, common) > 200);
	set_seats(r, 3);
	(void)get(r, &tcp4, 2, 0);
	sockets_steer(r->s, 2, 0, true);
	sockets_join(r->s, &tcp4, 2, 0);
	for (unsigned i = 0; i < 40; i++)
		(void)close(dial(common, SOCK_STREAM));
	assert_int_equal(drain(common) + drain(get(r, &tcp4, 0, 0)) + drain(get(r, &tcp4, 1, 0)) +
	                         drain(get(r, &tcp4, 2, 0)),
	                 40);
}

static void one_that_is_lost_is_made_anew(void **state)
{
	struct rig *r = *state;
	struct pm_error err;
	int common, old = joined_pair(r);

	(void)old;
	sockets_set_brief(r->s, 0, 0, true);
	for (size_t i = 0; i < r->n_held; i++)
		if (strstr(r->held[i].name, ".2048") != NULL) {
			(void)close(r->held[i].fd);
			r->held[i--] = r->held[--r->n_held];
		}
	die_and_come_back(r);
	assert_false(sockets_has_joined(r->s, &tcp4, 0, 0));
	assert_int_equal(sockets_get_common(r->s, &tcp4, &common, &err), 0);
	assert_int_equal(share_of(r, common), 0);
	for (uint32_t seat = 0; seat < 2; seat++)
		sockets_join(r->s, &tcp4, seat, 0);
	assert_true(share_of(r, common) > 200);
}

static void one_that_cannot_be_held_is_not_used(void **state)
{
	struct rig *r = *state;
	struct pm_error err;
	int fd;

	set_seats(r, 2);
	(void)get(r, &tcp4, 0, 0);
	r->holds_left = 0;
	assert_int_equal(sockets_get_common(r->s, &tcp4, &fd, &err), -1);
	assert_int_equal(err.code, PM_LIMIT);
	sockets_join(r->s, &tcp4, 0, 0);
	assert_false(sockets_has_joined(r->s, &tcp4, 0, 0));
	r->holds_left = SIZE_MAX;
	assert_int_equal(sockets_get_common(r->s, &tcp4, &fd, &err), 0);
}

static void only_tcp_has_one(void **state)
{
	const struct socket_key udp = { .type = SOCK_DGRAM,
		                        .family = AF_INET,
		                        .address = "127.0.0.1" };
	struct rig *r = *state;
	struct pm_error err;
	int fd;

	(void)get(r, &udp, 0, 0);
	assert_int_equal(sockets_get_common(r->s, &udp, &fd, &err), -1);
	assert_int_equal(err.code, PM_NOT_FOUND);
	assert_int_equal(sockets_get_common(r->s, &tcp4, &fd, &err), -1); /* nobody has asked */
	assert_int_equal(err.code, PM_NOT_FOUND);
}

int main(void)
{
#define RIGGED(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		RIGGED(brief_connections_go_to_whoever_is_free),
		RIGGED(it_is_left_alone_until_all_who_are_ready_have_joined),
		RIGGED(what_was_said_of_connections_holds_over_leaving),
		RIGGED(what_waits_there_belongs_to_the_last_who_takes_from_it),
		RIGGED(it_keeps_its_place_among_sockets_that_come_and_go),
		RIGGED(it_lives_on_when_the_supervisor_dies),
		RIGGED(one_that_is_lost_is_made_anew),
		RIGGED(one_that_cannot_be_held_is_not_used),
		RIGGED(only_tcp_has_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
