/* limits.h - every limit on what a user, peer or child can make grow, why, and what happens there.
 */
#ifndef PM_PROTO_LIMITS_H
#define PM_PROTO_LIMITS_H

/* One record on a session: 2-byte length, so that with the AEAD tag it fits 65,535. Refused above.
 */
#define PM_RECORD_MAX 65519
/* Memory one received message may unpack into; a hostile one is refused, not served. */
#define PM_ARENA_MAX (1u << 20)
/* Control data queued for one peer that does not read: then the session is closed. */
#define PM_SEND_QUEUE_MAX (1u << 20)
/* Streams open in one session; more are refused. */
#define PM_STREAMS_MAX 64
/* The same for an operator's session with a coordinator, which has one for each host that is looked
 * at.  Those over PM_STREAMS_MAX have the least window: PM_VIEWER_CREDIT_MAX is for all of them. */
#define PM_OPERATOR_STREAMS_MAX 256
/* Bytes a stream's sender may be ahead of its receiver; the sender waits. */
#define PM_STREAM_WINDOW (256u * 1024)
/* The least window a stream may be opened with: two records, or a large one could wait for ever. */
#define PM_STREAM_WINDOW_MIN (128u * 1024)
/* Credit a sender accepts in all; a peer that grants more breaks the protocol. */
#define PM_STREAM_CREDIT_MAX (64u << 20)
/* Lines in one LogBatch: each takes some 200 bytes unpacked, and PM_ARENA_MAX is for all of them.
 */
#define PM_LOG_BATCH_LINES_MAX 2048
/* Bytes queued in a session from which its streams and pages wait. */
#define PM_SEND_ROOM (64u * 1024)
/* Requests of one session without their answer; further ones are refused. */
#define PM_REQUESTS_MAX 64
/* Control connections at once; further ones are accepted and refused in words. */
#define PM_SESSIONS_MAX 256
/* Specs pushed in one session before the command that uses them; refused above. */
#define PM_STAGED_SPECS_MAX 4096

/* A fleet session's control messages that wait for a peer that does not read: then it is closed. */
#define PM_LINK_MESSAGES_MAX 1024
/* Bytes sealed at a time: what a control message may wait for. */
#define PM_LINK_BATCH (64u * 1024)
/* Credit given out in all streams of one fleet session; further streams are refused. */
#define PM_LINK_CREDIT_MAX (1u << 20)
/* The same for pmctl, which looks at up to PM_OPERATOR_STREAMS_MAX hosts at once and has nobody to
 * delay.  A coordinator may have to hold as much for one that does not read. */
#define PM_VIEWER_CREDIT_MAX (40u << 20)
/* The first record of a peer that has proved nothing yet: Hello or Enrol. Refused above. */
#define PM_FIRST_RECORD_MAX 1024
/* The same as PM_ARENA_MAX for a peer that is not enrolled yet. */
#define PM_ARENA_ENROL_MAX (256u << 10)
/* Connections to a coordinator that have not shown who they are; the oldest makes room. */
#define PM_PREAUTH_MAX 4096
/* The same from one address (IPv6: from one /64), so that one host cannot push out all others. */
#define PM_PREAUTH_ADDRESS_MAX 2048
/* Handshakes a second; further ones wait their turn, and for their deadline. */
#define PM_HANDSHAKES_PER_S 2000
/* Sessions of keys that are not known yet; further ones are closed. */
#define PM_ENROLLING_MAX 64
/* How long a Goodbye may send a peer away; a longer time counts as this. */
#define PM_RETRY_AFTER_MAX_MS 600000
/* Descriptors that stay free below the limit of a process that takes connections. */
#define PM_FDS_SPARE 64

/* Refusals of remote requests that the audit takes in any hour; further ones are counted. The same
 * for what it is told of the link itself. */
#define PM_REMOTE_REFUSALS_HOUR 240
/* Remote commands under way; further ones are refused. */
#define PM_REMOTE_PENDING_MAX 256
/* Numbers of sessions and commands, which are counted up for ever.  A peer that says more is not
 * believed: a number near the end of its range could not be counted up any more. */
#define PM_COUNT_MAX (UINT64_C(1) << 62)
/* Commands from afar that an agent remembers; older ones would be done again. */
#define PM_OP_JOURNAL_MAX 4096
/* What is remembered of one result, and of all: of a longer one, and of the oldest, only that they
 * were there and with which code. */
#define PM_OP_RESULT_MAX  4096
#define PM_OP_RESULTS_MAX (4u << 20)
/* The file of it: over the first it is written anew with what is still remembered, while further
 * commands are added; over the second none is begun, and those under way still end in it. */
#define PM_OPS_REWRITE_BYTES (6u << 20)
#define PM_OPS_FILE_MAX      (8u << 20)
/* Audit entries that wait while the ones before them are brought to the disk; more are refused. */
#define PM_TRAIL_WAITING_MAX 64
/* Bytes that an uplink holds for a supervisor that does not read: then its session ends. */
#define PM_RELAY_QUEUE_MAX (4u << 20)

/* Processes the keeper holds: its tables are static. Further starts fail in words. */
#define PM_SLOTS_MAX 8192
/* Descriptors held by name in the keeper: a cluster app has two sockets for each worker and
 * address. */
#define PM_HELD_MAX 4096
/* The agent's own log; then it becomes pmd.log.1 and a new one begins. */
#define PM_OWN_LOG_MAX (10u << 20)
/* Exits read from the keeper, or orphans reaped, in one turn of a loop. */
#define PM_TURN_MAX 256

/* An app's name, a namespace: what fits a file name with our suffixes. */
#define PM_NAME_MAX 128
/* A path. */
#define PM_PATH_MAX 4096
/* Addresses that an app declares with `listen`: each is a descriptor of its processes from the
 * start. */
#define PM_LISTEN_MAX 8
/* Arguments and environment of one process: one packed spec fits one record. */
#define PM_SPEC_MAX 61440
/* One captured line; longer ones continue in a further record with a mark. */
#define PM_LINE_MAX 65536
/* Read from one stream in one turn of the loop, so that a flood delays nobody. */
#define PM_CAPTURE_TURN_MAX (1u << 20)
/* A message on a node IPC channel; a longer one is dropped and counted. */
#define PM_IPC_LINE_MAX (1u << 20)
/* A state file; larger ones are refused as damaged. */
#define PM_STATE_MAX (64u << 20)
/* A configuration file, or what node prints for one. */
#define PM_CONFIG_MAX (16u << 20)
/* Values inside values inside values of it; deeper ones are refused. */
#define PM_CONFIG_DEPTH_MAX 64
/* Keys of one object of it; more are refused, because each is compared with those before it. */
#define PM_CONFIG_KEYS_MAX 4096
/* Problems told of one file; what is behind the last is only counted. */
#define PM_CONFIG_PROBLEMS_MAX 20
/* An env_file; a larger one is refused. */
#define PM_ENVFILE_MAX (1u << 20)
/* Variables of one process; a start with more fails. The kernel's own limit is on their bytes. */
#define PM_ENV_VARS_MAX 4096
/* The time a .js configuration may take, in ms. */
#define PM_CONFIG_JS_MS 10000
/* Past exits kept per instance for `why`. */
#define PM_EXIT_HISTORY 8
/* Programs that run as health checks at one time, over all apps; further ones wait for their turn.
 */
#define PM_CHECK_EXECS_MAX 4
/* Datagrams of apps that are read in one turn of the loop. */
#define PM_NOTIFY_TURN_MAX 64

/* Hosts of a fleet, and names that a target expression may spell out; more are refused. */
#define PM_HOSTS_MAX 65536
/* A target expression of any form; a longer one is refused. */
#define PM_TARGETS_TEXT_MAX 16384
/* A regular expression in it, and the states that its counted repetitions may come to: regcomp(3)
 * copies what it repeats. */
#define PM_REGEX_MAX        256
#define PM_REGEX_REPEAT_MAX 1000
/* Terms of an expression, and brackets inside brackets of it. */
#define PM_WHERE_TERMS_MAX 256
#define PM_WHERE_DEPTH_MAX 32
/* Groups inside groups; that many are a circle. */
#define PM_GROUP_DEPTH_MAX 8
/* Groups that one expression uses, and comparisons of a pattern with a host: some 0.1 s. */
#define PM_GROUPS_USED_MAX  64
#define PM_TARGETS_WORK_MAX (1u << 22)
/* Labels of one host, bytes of a key and of a value. */
#define PM_LABELS_MAX      64
#define PM_LABEL_KEY_MAX   64
#define PM_LABEL_VALUE_MAX 128

/* One entry of an audit log as a line; its texts are cut before and marked. */
#define PM_AUDIT_LINE_MAX 16384
/* An audit file; then a new one goes on with its chain. Of old ones so many are kept. */
#define PM_AUDIT_FILE_MAX  (8u << 20)
#define PM_AUDIT_FILES_MAX 16

/* Operations that wait for the coordinator's store; further ones are refused. */
#define PM_STORE_QUEUE_MAX 4096
/* Writes that share one transaction, and one flush of the disk. */
#define PM_STORE_BATCH_MAX 256
/* Rows of one answer, and of one request; lists go on behind the last. */
#define PM_STORE_ROWS_MAX 100000
/* Entries of the audit log in the store; older ones go, and where it then begins is kept. */
#define PM_STORE_AUDIT_MAX 1000000
/* Lines that are shown of what differs between two answers; the rest is counted. */
#define PM_FOLD_DIFF_MAX 100
/* A policy file, its rules, and counters of their rates; a larger file is refused, and with it all
 * that comes over the network. */
#define PM_POLICY_MAX        (64u << 10)
#define PM_POLICY_RULES_MAX  256
#define PM_POLICY_COUNTS_MAX 256
/* Uses of a changing operation in an hour, where a rule of the policy says nothing else. */
#define PM_POLICY_RATE 120
/* Versions of an app's spec that can be gone back to; the oldest goes. */
#define PM_STORE_SPECS_KEPT 20
/* Who declared one, and what was another in it: longer words are cut. */
#define PM_VERSION_BY_MAX   96
#define PM_VERSION_WHAT_MAX 480
/* One packed: a spec and these words. */
#define PM_VERSION_MAX (PM_SPEC_MAX + 1024)
/* All versions of one app in a file; a larger one is damaged. */
#define PM_VERSIONS_FILE_MAX (2u << 20)
/* All such files, also of apps that were deleted: of those the oldest go first, then of others. */
#define PM_VERSIONS_FILES_MAX 8192
#define PM_VERSIONS_BYTES_MAX (64u << 20)
/* Versions that wait to be written; of more, those of the past are forgotten. */
#define PM_VERSIONS_WAITING_MAX 8192
/* Requests of operators that a coordinator passes on at a time; further ones are refused. */
#define PM_FORWARDS_MAX 256
/* Answers of agents that an operator has not taken; over it his session ends. */
#define PM_FORWARD_QUEUE_MAX (32u << 20)
/* Targets in one record of the account at the end: names, states, words. */
#define PM_FORWARD_END_MOST 100
/* For a request that names no time of its own. */
#define PM_FORWARD_DEADLINE_MS 60000
/* The time that a command has on all of its hosts, unless told otherwise; what is not known by then
 * is told as unknown. */
#define PM_FLEET_ACT_MS 600000
/* A file of contexts, and contexts in it; more are refused. */
#define PM_CONTEXTS_FILE_MAX (256u << 10)
#define PM_CONTEXTS_MAX      256
/* Hosts whose logs pmctl follows at once without being told so with --max-sources. */
#define PM_LOG_SOURCES_MAX 50
/* Bytes of lines that wait for their turn in a merge; then the oldest go on at once. */
#define PM_LOG_MERGE_MAX (16u << 20)
/* The same for equal lines of hosts that are shown as one, with --fold. */
#define PM_LOG_FOLD_MAX (4u << 20)
/* What an agent looks through for one viewer who asks for the past (F-38): text, unpacked, and
 * rotated files, of all his logs together.  It looks from the newest line back; what is older is
 * left out, and he is told.  A gigabyte under a pattern is half a minute of one core. */
#define PM_LOG_SEARCH_BYTES (1ull << 30)
#define PM_LOG_SEARCH_FILES 1000

/* Restarts that nobody ordered (F-27).  An agent waits so long for a word of its coordinator, and
 * in all; then it restarts by itself. */
#define PM_BUDGET_WAIT_MS 30000
#define PM_BUDGET_MOST_MS 300000
/* Whoever waits is told so this often. */
#define PM_BUDGET_TELL_MS 10000
/* A slot ends after that: an app that takes longer to come up holds up nobody. */
#define PM_BUDGET_LEASE_MS 60000
/* Apps with slots at a coordinator, and of them those of one host; further ones are told to wait,
 * and go alone in the end. */
#define PM_BUDGET_APPS_MAX     1024
#define PM_BUDGET_PER_HOST_MAX 64
/* How old what is known of who runs an app may be, and how many apps are counted at a time. */
#define PM_BUDGET_COUNT_MS   60000
#define PM_BUDGET_COUNTS_MAX 4

#endif
