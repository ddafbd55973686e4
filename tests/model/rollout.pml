/*
 * rollout.pml - the protocol of rollouts: journal and locks in the coordinator's store, a token per
 * step, and the agent's journal. README.md says what is left out, and which code each part mirrors.
 *
 * A process here is a part of a program with one state: what it may do next depends on the store,
 * on memory and on the links alone, as after a start. Whatever stands in one d_step is one
 * transaction, or one turn of a loop.
 */

/* Each scene bounds what may happen; run tells the names, and which properties each checks. */
#ifdef SCENE_HONEST /* no lease is lost: never two at once on a host */
#define ROLLOUTS 2
#define HOSTS    2
#define MAX_DOWN 2
#define BATCH(h) 0
#define FAULTS   4
#define ORDERS   1
#define LOSSES   0
#endif
#ifdef SCENE_FENCE /* leases lapse and are stolen: who lost one sends nothing more */
#define ROLLOUTS        2
#define HOSTS           2
#define MAX_DOWN        2
#define BATCH(h)        (h)
#define FAULTS          2
#define ORDERS          1
#define LOSSES          2
#define SECOND_ALONE_ON 1 /* the only host that the rollouts have in common */
#endif
#ifdef SCENE_GATE /* failures, hosts given up, and more hosts than may be down */
#define ROLLOUTS 1
#define HOSTS    3
#define MAX_DOWN 2
#define BATCH(h) 0
#define FAULTS   3
#define ORDERS   1
#define LOSSES   0
#define FAILURES
#endif
#ifdef SCENE_ENDS /* a link is cut again and again, but is fair: all comes to rest */
#define ROLLOUTS 2
#define HOSTS    1
#define MAX_DOWN 1
#define BATCH(h) 0
#define FAULTS   1
#define ORDERS   1
#define LOSSES   0
#define ANY_CUTS
#endif

#define STEPS  (ROLLOUTS * HOSTS)
#define S(r, h) ((r) * HOSTS + (h))
#ifdef SECOND_ALONE_ON
#define HAS(r, h) ((r) == 0 || (h) == SECOND_ALONE_ON)
#else
#define HAS(r, h) true
#endif
#if HOSTS == 1
#define ANY(f, r) (f(r, 0))
#define SUM(f, r) (f(r, 0))
#elif HOSTS == 2
#define ANY(f, r) (f(r, 0) || f(r, 1))
#define SUM(f, r) (f(r, 0) + f(r, 1))
#else
#define ANY(f, r) (f(r, 0) || f(r, 1) || f(r, 2))
#define SUM(f, r) (f(r, 0) + f(r, 1) + f(r, 2))
#endif

/* The properties. Nobody writes these: they give an assertion its name. */
bit once;      /* a) a step is done once at most */
bit journal;   /* a) nothing is begun that the store does not call sent */
bit exclusive; /* b) two rollouts are not under way on one host, but where a lease was lost */
bit fenced;    /* b) who lost the lease sends nothing more, until an operator resumes it */
bit most;      /* c) never more than MAX_DOWN out */
bit gate;      /* c) nothing is sent past a failure that nobody resumed */
bit batches;   /* c) nothing is sent before the earlier batches are settled */
bit happens;   /* that something does: run says what */
bit rest;      /* d) what stops, stops ended or paused, and leaves no lock for ever */

/* ---- the store: outlives everything ---- */

mtype : roll = { WAITING, RUNNING, PAUSED, ABORTING, ENDED };
mtype : step = { PENDING, SENT, HEALTHY, FAILED, SKIPPED, UNKNOWN };

mtype : roll roll[ROLLOUTS] = WAITING;
mtype : step step[STEPS] = PENDING;
byte holder[HOSTS];  /* of the lease: rollout + 1; 0: free */
bool lapsed[HOSTS];  /* the lease is over; its row is still there */
bool mine[ROLLOUTS]; /* the leases still have the number that is in the rollout's row */

/* What was committed, for the assertions. */
bool lost[ROLLOUTS]; /* a lease, since the rollout last began or was resumed */
bool shut[ROLLOUTS]; /* a step failed or is unknown, and nobody resumed it */

/* ---- the coordinator's memory: goes with it ---- */

bool told[STEPS];         /* the command was sent in the session that there is now */
bool unlocking[ROLLOUTS]; /* it has just ended; its leases are to be given back */

/* ---- links ---- */

mtype : answer = { NONE, DONE_WELL, DONE_BADLY, NOT_KNOWN, NOT_BEGUN };

bool up[HOSTS] = true;
bool command[STEPS]; /* on its way to the agent; while the link is down: in its old session */
mtype : answer answer[STEPS] = NONE;

/* ---- agents ---- */

/* NEW_TORN: withdrawn, but begun in the file. HELD_OLD: the session that asked is gone. */
mtype : op = { NEW, NEW_TORN, HELD, HELD_OLD, DOING, DID_WELL, DID_BADLY, INTERRUPTED };

mtype : op op[STEPS] = NEW;
bool asked[STEPS]; /* somebody waits for the end, in the session that there is now */
bool ran[STEPS];   /* for the assertions: the action was begun */

/* ---- what may still happen ---- */

byte faults; /* deaths of the coordinator and of agents, cuts */
byte orders, losses;
bool calm;
#ifdef ANY_CUTS
bool for_ever; /* the cuts do not end */
#endif
bool heard; /* an answer came since the link was last cut */

hidden byte i, j;

#if defined(BUG_NO_CAS) || defined(BUG_SEND_BEFORE_COMMIT) || defined(BUG_INTENT_WITHOUT_FENCE)
#define TWO_TURNS
bool chosen[STEPS]; /* memory: the next to be sent, as the rollout's row was when it was read */
#endif
#if defined(BUG_NEW_TOKEN) || defined(BUG_ASK_WITHOUT_LOCK)
#define REPEATS
bool repeat[STEPS];
#endif
#ifdef BUG_PAUSE_APART
bool pausing[ROLLOUTS];
#endif

#define IS_OUT(r, h)     (step[S(r, h)] == SENT)
#define IS_PENDING(r, h) (step[S(r, h)] == PENDING)
#define IS_DOING(r, h)   (op[S(r, h)] == DOING)
#define IS_TOLD(r, h)    (told[S(r, h)])
#define IN_THE_WAY(r, h) (HAS(r, h) && holder[h] != 0 && holder[h] != (r) + 1 && !lapsed[h])
#define IS_HELD(r, h)    (HAS(r, h) && holder[h] == (r) + 1)
#define HAS_LAPSED(r, h) (IS_HELD(r, h) && lapsed[h])

#define FREE(r)    (!ANY(IN_THE_WAY, r))
#define SETTLED(r) (!ANY(IS_PENDING, r) && !ANY(IS_OUT, r))
#define LIVE(r)    (roll[r] == RUNNING || roll[r] == PAUSED || roll[r] == ABORTING)
/* Nothing happens to it any more but by an operator. */
#define RESTS(r) (roll[r] == ENDED || (roll[r] == PAUSED && !(mine[r] && ANY(IS_OUT, r))))
#define LEFT(h)  (holder[h] == 0 || lapsed[h] || (roll[holder[h] - 1] == PAUSED && mine[holder[h] - 1]))
#if ROLLOUTS == 1
#define ALL_REST (RESTS(0))
#define OVER     (roll[0] == ENDED && !unlocking[0])
#else
#define ALL_REST (RESTS(0) && RESTS(1))
#define OVER     (roll[0] == ENDED && roll[1] == ENDED && !unlocking[0] && !unlocking[1])
#endif
#if HOSTS == 1
#define AT_REST (ALL_REST && LEFT(0))
#define ALL_UP  (up[0])
#elif HOSTS == 2
#define AT_REST (ALL_REST && LEFT(0) && LEFT(1))
#define ALL_UP  (up[0] && up[1])
#else
#define AT_REST (ALL_REST && LEFT(0) && LEFT(1) && LEFT(2))
#define ALL_UP  (up[0] && up[1] && up[2])
#endif

#if HOSTS == 1
#define ALL(r, state) (step[S(r, 0)] == state)
#elif HOSTS == 2
#define ALL(r, state) (step[S(r, 0)] == state && step[S(r, 1)] == state)
#endif

/* For run: what must be able to happen. */
#define ALL_WELL   (faults == FAULTS && ALL(0, HEALTHY) && ALL(1, HEALTHY))
#define IN_DOUBT   (ALL(0, UNKNOWN) && ALL(1, HEALTHY))
#define LOST_LEASE (roll[0] == PAUSED && lost[0] && step[S(0, 1)] == SENT && step[S(1, 1)] == HEALTHY)
#define TAKEN_BACK (losses == 2 && ALL(0, HEALTHY) && step[S(1, 1)] == HEALTHY)
#define RESUMED    (roll[0] == ENDED && step[0] == FAILED && step[1] == UNKNOWN && step[2] == HEALTHY)

/* What is out as the coordinator sees it. */
#ifdef BUG_OUT_IN_MEMORY
#define SEEN_OUT(r, h) IS_TOLD(r, h)
#else
#define SEEN_OUT(r, h) IS_OUT(r, h)
#endif

/* In the order of hosts; the next batch when the one before is settled. */
#define BEFORE(r, h, k, out) ((k) < (h) && (IS_PENDING(r, k) || (BATCH(k) < BATCH(h) && out(r, k))))
#if HOSTS == 1
#define ITS_TURN(r, h, out) true
#elif HOSTS == 2
#define ITS_TURN(r, h, out) (!BEFORE(r, h, 0, out))
#else
#define ITS_TURN(r, h, out) (!BEFORE(r, h, 0, out) && !BEFORE(r, h, 1, out))
#endif
#define NEXT(r, h) \
	(roll[r] == RUNNING && step[S(r, h)] == PENDING && ITS_TURN(r, h, SEEN_OUT) && \
	 SUM(SEEN_OUT, r) < MAX_DOWN)

/* ---- the store's transactions ---- */

/* Any write of a rollout's row: what was decided on an older one fails its compare-and-set. */
inline row_changes(r)
{
#if defined(TWO_TURNS) && !defined(BUG_NO_CAS)
	for (i : 0 .. HOSTS - 1) {
		chosen[S(r, i)] = false
	};
#endif
	skip
}

inline lose(q)
{
	if
	:: LIVE(q) ->
		assert(exclusive || LOSSES > 0);
		mine[q] = false;
		lost[q] = true
	:: else
	fi
}

/* STORE_LOCK: all of its leases, with one new number. */
inline take_leases(r)
{
	for (i : 0 .. HOSTS - 1) {
		if
		:: HAS(r, i) ->
			if
			:: holder[i] != 0 && holder[i] != r + 1 -> lose(holder[i] - 1)
			:: else
			fi;
			holder[i] = r + 1;
			lapsed[i] = false
		:: else
		fi
	};
	skip
}

/* ... and STORE_PUT_ROLLOUT, with the number in it. */
inline take_and_run(r)
{
	take_leases(r);
	mine[r] = true;
	lost[r] = false;
	shut[r] = false;
	roll[r] = RUNNING;
	row_changes(r)
}

inline put_result(r, h, result)
{
	step[S(r, h)] = result;
	told[S(r, h)] = false;
	answer[S(r, h)] = NONE;
	/* It is not asked again: what the agent knows of it makes no difference any more. */
	if
	:: op[S(r, h)] == DID_BADLY || op[S(r, h)] == INTERRUPTED -> op[S(r, h)] = DID_WELL
	:: else
	fi;
	if
	:: result == FAILED || result == UNKNOWN ->
		if
		:: roll[r] == RUNNING ->
			shut[r] = true;
#ifdef BUG_PAUSE_APART
			pausing[r] = true
#else
			roll[r] = PAUSED
#endif
		:: roll[r] == PAUSED -> shut[r] = true
		:: else
		fi
	:: else
	fi;
	row_changes(r)
}

inline put_intent(r, h)
{
#ifndef BUG_INTENT_WITHOUT_FENCE
	if
	:: !mine[r] -> roll[r] = PAUSED
	:: else ->
#endif
		assert(fenced || !lost[r]);
		assert(gate || !shut[r]);
		assert(gate || roll[r] == RUNNING);
		assert(batches || ITS_TURN(r, h, IS_OUT));
		step[S(r, h)] = SENT;
		assert(most || SUM(IS_OUT, r) <= MAX_DOWN);
#if ROLLOUTS == 2
		assert(exclusive || !HAS(1 - r, h) || step[S(1 - r, h)] != SENT || lost[1 - r]);
#endif
#ifndef BUG_INTENT_WITHOUT_FENCE
	fi;
#endif
	row_changes(r)
}

inline give_back(r)
{
	for (i : 0 .. HOSTS - 1) {
		if
		:: holder[i] == r + 1 ->
			holder[i] = 0;
			lapsed[i] = false
		:: else
		fi
	};
	skip /* a d_step does not end in a loop */
}

/* ---- links ---- */

inline send_command(r, h)
{
	command[S(r, h)] = true;
	told[S(r, h)] = true
}

/* What the agent's end of a session that is gone still has in hand is not lost with it. */
inline session_goes(h)
{
	for (j : 0 .. ROLLOUTS - 1) {
#ifdef REPEATS
		repeat[S(j, h)] = (step[S(j, h)] == SENT);
#endif
		told[S(j, h)] = false;
		asked[S(j, h)] = false;
		answer[S(j, h)] = NONE;
		if
		:: op[S(j, h)] == HELD -> op[S(j, h)] = HELD_OLD
		:: else
		fi
	};
	up[h] = false;
	heard = false
}

inline session_comes(h)
{
	for (j : 0 .. ROLLOUTS - 1) {
		command[S(j, h)] = false
	};
	up[h] = true
}

/* To whoever waits; nobody does in a session that is gone. */
inline reply(r, h, what)
{
	if
	:: asked[S(r, h)] -> answer[S(r, h)] = what
	:: else
	fi;
	asked[S(r, h)] = false
}

/* ---- the coordinator ---- */

inline coordinator_dies()
{
	for (i : 0 .. HOSTS - 1) {
		session_goes(i)
	};
	for (i : 0 .. ROLLOUTS - 1) {
		unlocking[i] = false;
#ifdef BUG_PAUSE_APART
		pausing[i] = false
#endif
	};
#ifdef TWO_TURNS
	for (i : 0 .. STEPS - 1) {
		chosen[i] = false
	};
#endif
	skip
}

/* One step of a rollout. */
proctype Step(byte r; byte h)
{
end:
	do
#ifdef TWO_TURNS
	:: d_step {
		NEXT(r, h) && up[h] && !chosen[S(r, h)] ->
		chosen[S(r, h)] = true;
#ifdef BUG_INTENT_WITHOUT_FENCE
		if
		:: !mine[r] ->
			chosen[S(r, h)] = false;
			roll[r] = PAUSED
		:: else
		fi;
#endif
#ifdef BUG_SEND_BEFORE_COMMIT
		send_command(r, h)
#endif
	}
	:: d_step {
		chosen[S(r, h)] ->
		chosen[S(r, h)] = false;
		put_intent(r, h)
	}
#else
	:: d_step { NEXT(r, h) && up[h] -> put_intent(r, h) }
#endif
	:: d_step { NEXT(r, h) && !up[h] -> put_result(r, h, SKIPPED) }
	/* Sent, and after a death or a cut sent again: behind a renewal, which says whose they are. */
	:: d_step {
		step[S(r, h)] == SENT && !told[S(r, h)] && up[h] && LIVE(r) &&
#ifdef BUG_NOT_ASKED_AGAIN
			faults == 0 &&
#endif
#ifdef BUG_ASK_WITHOUT_LOCK
			(mine[r] || repeat[S(r, h)]) ->
#else
			mine[r] ->
#endif
		assert(fenced || !lost[r]);
		send_command(r, h)
	}
	/* Nobody may be asked any more. */
	:: d_step {
		step[S(r, h)] == SENT && !told[S(r, h)] && roll[r] == ABORTING && !mine[r] ->
		put_result(r, h, UNKNOWN)
	}
#ifdef FAILURES
	:: d_step { step[S(r, h)] == SENT && !up[h] -> put_result(r, h, UNKNOWN) }
#endif
	:: d_step {
		answer[S(r, h)] != NONE ->
#ifdef ANY_CUTS
		heard = (answer[S(r, h)] != NOT_BEGUN);
#endif
		if
		:: step[S(r, h)] != SENT -> answer[S(r, h)] = NONE
#ifdef BUG_RESULT_DROPPED
		:: step[S(r, h)] == SENT ->
			answer[S(r, h)] = NONE;
			told[S(r, h)] = false
#endif
		:: else ->
			if
			:: answer[S(r, h)] == DONE_WELL -> put_result(r, h, HEALTHY)
			:: answer[S(r, h)] == DONE_BADLY -> put_result(r, h, FAILED)
			:: answer[S(r, h)] == NOT_KNOWN -> put_result(r, h, UNKNOWN)
			:: answer[S(r, h)] == NOT_BEGUN ->
				answer[S(r, h)] = NONE;
				told[S(r, h)] = false
			fi
		fi
	}
	od
}

proctype Rollout(byte r)
{
end:
	do
	:: d_step { roll[r] == WAITING && FREE(r) -> take_and_run(r) }
	:: d_step {
		!calm && faults < FAULTS && roll[r] == WAITING && FREE(r) ->
		faults++;
		take_leases(r); /* and no word of it in the rollout's row */
		coordinator_dies()
	}
	:: d_step {
		roll[r] == WAITING && !FREE(r) -> /* for too long */
		for (i : 0 .. HOSTS - 1) {
			step[S(r, i)] = SKIPPED
		};
		roll[r] = ENDED
	}
	:: d_step {
		LIVE(r) && mine[r] && ANY(HAS_LAPSED, r) ->
		for (i : 0 .. HOSTS - 1) {
			if
			:: IS_HELD(r, i) -> lapsed[i] = false
			:: else
			fi
		};
		skip
	}
#ifdef BUG_NUMBER_IN_MEMORY
	:: d_step { LIVE(r) && !mine[r] && FREE(r) -> take_leases(r); mine[r] = true }
#endif
	:: d_step { roll[r] == RUNNING && !mine[r] -> roll[r] = PAUSED; row_changes(r) }
#ifdef BUG_PAUSE_APART
	:: d_step {
		pausing[r] ->
		pausing[r] = false;
		if
		:: roll[r] == RUNNING -> roll[r] = PAUSED
		:: else
		fi
	}
#endif
#ifdef BUG_RELEASE_EARLY
	:: d_step { roll[r] == RUNNING && mine[r] && !ANY(IS_PENDING, r) -> give_back(r) }
#endif
	:: d_step {
		(roll[r] == RUNNING || roll[r] == ABORTING) && SETTLED(r) ->
		roll[r] = ENDED;
		mine[r] = false;
		lost[r] = false;
		shut[r] = false;
		unlocking[r] = true;
		row_changes(r)
	}
	:: d_step {
		unlocking[r] ->
		unlocking[r] = false;
		give_back(r)
	}
	od
}

/* ---- an agent, as to one step ---- */

proctype Agent(byte r; byte h)
{
end:
	do
	:: d_step {
		command[S(r, h)] ->
		command[S(r, h)] = false;
		asked[S(r, h)] = up[h];
#ifdef BUG_NEW_TOKEN
		if
		:: repeat[S(r, h)] -> op[S(r, h)] = NEW
		:: else
		fi;
		repeat[S(r, h)] = false;
#endif
#if defined(BUG_NO_AGENT_JOURNAL) || defined(BUG_DO_INTERRUPTED)
		if
		:: op[S(r, h)] == INTERRUPTED -> op[S(r, h)] = NEW
		:: else
		fi;
#endif
		assert(journal || (step[S(r, h)] != PENDING && step[S(r, h)] != SKIPPED));
		if
		:: op[S(r, h)] == NEW || op[S(r, h)] == NEW_TORN ->
			if
			:: up[h] -> op[S(r, h)] = HELD
			:: else -> op[S(r, h)] = HELD_OLD
			fi
		:: op[S(r, h)] == HELD || op[S(r, h)] == HELD_OLD
#ifdef BUG_REFUSAL_IS_A_RESULT
		:: op[S(r, h)] == DOING && faults > 0 -> reply(r, h, DONE_BADLY)
#else
		:: op[S(r, h)] == DOING
#endif
		:: op[S(r, h)] == INTERRUPTED -> reply(r, h, NOT_KNOWN)
		:: op[S(r, h)] == DID_WELL -> reply(r, h, DONE_WELL)
		:: op[S(r, h)] == DID_BADLY -> reply(r, h, DONE_BADLY)
		fi
	}
	/* Its beginning is on the disk. */
	:: d_step {
		op[S(r, h)] == HELD || op[S(r, h)] == HELD_OLD ->
		op[S(r, h)] = DOING;
		assert(once || !ran[S(r, h)]);
		ran[S(r, h)] = true;
#ifndef FAILURES /* a host that was given up may still be at it */
		assert(most || SUM(IS_DOING, r) <= MAX_DOWN);
#if ROLLOUTS == 2
		assert(exclusive || LOSSES > 0 || !HAS(1 - r, h) || !IS_DOING(1 - r, h))
#endif
#endif
	}
	/* It notices that who asked is gone: whoever asked since is told so. */
	:: d_step {
		op[S(r, h)] == HELD_OLD ->
		op[S(r, h)] = NEW_TORN;
		reply(r, h, NOT_BEGUN)
	}
	:: d_step { op[S(r, h)] == DOING -> op[S(r, h)] = DID_WELL; reply(r, h, DONE_WELL) }
#ifdef FAILURES
	:: d_step { op[S(r, h)] == DOING -> op[S(r, h)] = DID_BADLY; reply(r, h, DONE_BADLY) }
#endif
#ifdef BUG_AGENT_FORGETS
	:: d_step { op[S(r, h)] == DID_WELL -> op[S(r, h)] = NEW }
#endif
	od
}

/* ---- what happens to them ---- */

/* With the power, so that what was not flushed may be there or not. */
inline op_dies(s)
{
	if
	:: op[s] == NEW_TORN || op[s] == HELD || op[s] == HELD_OLD -> op[s] = NEW
	:: op[s] == NEW_TORN || op[s] == HELD || op[s] == HELD_OLD -> op[s] = INTERRUPTED
#ifdef BUG_NO_AGENT_JOURNAL
	:: op[s] == DOING || op[s] == DID_WELL || op[s] == DID_BADLY -> op[s] = NEW
#else
	:: op[s] == DOING -> op[s] = INTERRUPTED
#ifdef BUG_DO_BEFORE_FLUSH
	:: op[s] == DOING -> op[s] = NEW
#endif
	:: step[s] == SENT && (op[s] == DID_WELL || op[s] == DID_BADLY) -> op[s] = INTERRUPTED
	:: op[s] == DID_WELL || op[s] == DID_BADLY
#endif
	:: op[s] == NEW || op[s] == INTERRUPTED
	fi
}

/* A link that is down is dialled again. */
proctype Link(byte h)
{
end:
	do
	:: d_step { !up[h] -> session_comes(h) }
	od
}

/* Leases that nobody renews. */
proctype Clock(byte h)
{
end:
	do
	:: d_step {
#ifdef BUG_LEASE_FOR_EVER
		false &&
#endif
		holder[h] != 0 && !lapsed[h] && !(LIVE(holder[h] - 1) && mine[holder[h] - 1]) ->
		lapsed[h] = true
	}
	od
}

/* What operators do, and a lease that lapses under its holder. */
proctype Operator(byte r)
{
end:
	do
	:: d_step {
		!calm && orders < ORDERS && roll[r] == PAUSED && (mine[r] || FREE(r)) ->
		orders++;
		take_and_run(r)
	}
#ifdef FAILURES
	:: d_step {
		!calm && orders < ORDERS && roll[r] == RUNNING ->
		orders++;
		roll[r] = PAUSED;
		row_changes(r)
	}
#endif
	:: d_step {
		!calm && orders < ORDERS && (roll[r] == RUNNING || roll[r] == PAUSED) ->
		orders++;
		roll[r] = ABORTING;
		for (i : 0 .. HOSTS - 1) {
			if
			:: IS_PENDING(r, i) -> step[S(r, i)] = SKIPPED
			:: else
			fi
		};
		row_changes(r)
	}
	:: d_step {
		!calm && losses < LOSSES && roll[r] == WAITING && !FREE(r) ->
		losses++;
		take_and_run(r)
	}
	/* The coordinator was away for too long, or the clock was set. */
	:: d_step {
		!calm && losses < LOSSES && LIVE(r) && mine[r] ->
		losses++;
		for (i : 0 .. HOSTS - 1) {
			if
			:: IS_HELD(r, i) -> lapsed[i] = true
			:: else
			fi
		};
		skip
	}
	od
}

proctype Faults(byte h)
{
end:
	do
	:: d_step {
		!calm && !OVER && h == 0 && faults < FAULTS ->
		faults++;
		coordinator_dies()
	}
	:: atomic {
		!calm && !OVER && faults < FAULTS ->
		faults++;
		d_step {
			session_goes(h);
			for (i : 0 .. ROLLOUTS - 1) {
				command[S(i, h)] = false
			};
			skip
		};
		op_dies(S(0, h));
#if ROLLOUTS == 2
		op_dies(S(1, h))
#endif
	}
#ifdef ANY_CUTS
	:: d_step { (!calm || for_ever) && up[h] -> session_goes(h) }
#else
	:: d_step { !calm && !OVER && faults < FAULTS && up[h] -> faults++; session_goes(h) }
#endif
	od
}

/* At any time nothing more may happen to them, so that what follows has to do without. */
proctype Calm()
{
	calm = true
}

#ifdef ANY_CUTS
/* A result that is sent again and again comes through one day; or the cuts end. */
#ifdef BUG_UNFAIR
ltl ends { <>[] AT_REST }
#else
ltl ends { ([]<> heard || <>[] ALL_UP) -> <>[] AT_REST }
#endif
#endif

init {
	byte r, h;

	atomic {
		for (r : 0 .. ROLLOUTS - 1) {
			run Rollout(r);
			run Operator(r);
			for (h : 0 .. HOSTS - 1) {
				if
				:: HAS(r, h) ->
					run Step(r, h);
					run Agent(r, h)
				:: else -> step[S(r, h)] = SKIPPED
				fi
			}
		};
		for (h : 0 .. HOSTS - 1) {
			run Link(h);
			run Faults(h);
			run Clock(h)
		};
		run Calm();
#ifdef ANY_CUTS
		if
		:: for_ever = false
		:: for_ever = true
		fi;
#endif
		r = 0;
		h = 0
	};
	timeout -> /* nothing can happen any more */
#ifdef HAPPENS
	assert(happens || !(HAPPENS));
#endif
	assert(rest || AT_REST)
}
