#include "cli/apps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/fmt.h"
#include "cli/table.h"
#include "proto/sanitize.h"
#include "proto/units.h"

const char *apps_state_name(Pm__LifeState state)
{
	switch (state) {
	case PM__LIFE_STATE__LIFE_STOPPED:
		return "stopped";
	case PM__LIFE_STATE__LIFE_LAUNCHING:
		return "launching";
	case PM__LIFE_STATE__LIFE_ONLINE:
		return "online";
	case PM__LIFE_STATE__LIFE_STOPPING:
		return "stopping";
	case PM__LIFE_STATE__LIFE_WAITING:
		return "waiting restart";
	case PM__LIFE_STATE__LIFE_ERRORED:
		return "errored";
	case PM__LIFE_STATE__LIFE_UNSPECIFIED:
	case _PM__LIFE_STATE_IS_INT_SIZE:
		break;
	}
	return "unknown";
}

enum color apps_state_color(Pm__LifeState state)
{
	if (state == PM__LIFE_STATE__LIFE_ONLINE)
		return COLOR_BOLD_GREEN;
	return state == PM__LIFE_STATE__LIFE_LAUNCHING ? COLOR_BOLD_BLUE : COLOR_BOLD_RED;
}

enum field {
	BY_NAME,
	BY_NAMESPACE,
	BY_PID,
	BY_ID,
	BY_CPU,
	BY_MEMORY,
	BY_UPTIME,
	BY_STATUS,
};

static const char *const field_names[] = {
	[BY_NAME] = "name",     [BY_NAMESPACE] = "namespace",
	[BY_PID] = "pid",       [BY_ID] = "id",
	[BY_CPU] = "cpu",       [BY_MEMORY] = "memory",
	[BY_UPTIME] = "uptime", [BY_STATUS] = "status",
};

struct order {
	enum field by;
	int sign;
};

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_by(enum field by, const Pm__InstanceStatus *a, const Pm__InstanceStatus *b)
{
	switch (by) {
	case BY_NAME:
		return strcmp(a->name, b->name);
	case BY_NAMESPACE:
		return strcmp(a->namespace_, b->namespace_);
	case BY_PID:
		return compare_numbers(a->pid, b->pid);
	case BY_ID:
		return compare_numbers(a->pm_id, b->pm_id);
	case BY_CPU:
		return compare_numbers(a->cpu_permille, b->cpu_permille);
	case BY_MEMORY:
		return compare_numbers(a->memory, b->memory);
	case BY_UPTIME:
		return compare_numbers(a->uptime_ms, b->uptime_ms);
	case BY_STATUS:
		return strcmp(apps_state_name(a->state), apps_state_name(b->state));
	}
	return 0;
}

static int compare(const void *x, const void *y, void *arg)
{
	const Pm__InstanceStatus *a = *(Pm__InstanceStatus *const *)x;
	const Pm__InstanceStatus *b = *(Pm__InstanceStatus *const *)y;
	const struct order *order = arg;
	int c = order->sign * compare_by(order->by, a, b);

	return c != 0 ? c : compare_numbers(a->pm_id, b->pm_id);
}

int apps_sort(Pm__InstanceStatus **instances, size_t n, const char *by, struct pm_error *err)
{
	struct order order = { BY_NAME, 1 };
	size_t len = by == NULL ? 0 : strcspn(by, ":");
	bool found = by == NULL;

	for (size_t i = 0; !found && i < PM_COUNT(field_names); i++)
		if (strlen(field_names[i]) == len && strncmp(field_names[i], by, len) == 0) {
			order.by = (enum field)i;
			found = true;
		}
	if (by != NULL && by[len] == ':') {
		if (strcmp(by + len, ":desc") == 0)
			order.sign = -1;
		else if (strcmp(by + len, ":asc") != 0)
			found = false;
	}
	if (!found) {
		pm_fail(err, PM_USAGE, "--sort: '%s' is no order", by);
		pm_hint(err, "FIELD[:asc|desc] of name, namespace, pid, id, cpu, memory, uptime, "
		             "status");
		return -1;
	}
	if (n > 1)
		qsort_r(instances, n, sizeof(Pm__InstanceStatus *), compare, &order);
	return 0;
}

static const char *clean(struct pm_buf *scratch, const char *text)
{
	pm_buf_reset(scratch);
	pm_sanitize(text, strlen(text), PM_SANITIZE_ONE_LINE, scratch);
	return scratch->bytes == NULL || scratch->failed ? "" : scratch->bytes;
}

enum fact {
	F_HOST, /* of a list over hosts only */
	F_ID,
	F_NAME,
	F_NAMESPACE,
	F_VERSION,
	F_MODE,
	F_PID,
	F_UPTIME,
	F_RESTARTS,
	F_STATUS,
	F_CPU,
	F_MEM,
	F_USER,
	F_WATCHING,
	F_INSTANCE,
	F_UNSTABLE,
	F_CREATED,
	F_NOTE,
	F_COUNT,
};

/* One fact of an instance, as it is shown and as it is compared. */
struct shown {
	const char *text; /* `number`'s, or a string of the instance: not made harmless yet */
	enum color color;
	bool is_number;
	int64_t value;
	char number[PM_BYTES_TEXT + 32];
};

static void show_count(struct shown *out, uint64_t n, enum color color)
{
	(void)snprintf(out->number, sizeof(out->number), "%llu", (unsigned long long)n);
	out->is_number = true;
	out->value = n > INT64_MAX ? INT64_MAX : (int64_t)n;
	out->color = color;
}

static void show_text(struct shown *out, const char *text, enum color color)
{
	out->text = text;
	out->color = color;
}

static void show_cpu(struct shown *out, uint32_t permille)
{
	show_count(out, permille, COLOR_NONE);
	if (permille % 10 == 0)
		(void)snprintf(out->number, sizeof(out->number), "%u%%", permille / 10);
	else
		(void)snprintf(out->number, sizeof(out->number), "%u.%u%%", permille / 10,
		               permille % 10);
}

static void show_uptime(struct shown *out, const Pm__InstanceStatus *s)
{
	bool online = s->state == PM__LIFE_STATE__LIFE_ONLINE;

	show_count(out, online ? s->uptime_ms : 0, COLOR_NONE);
	if (online)
		pm_uptime_text(s->uptime_ms, out->number);
}

static void show(struct shown *out, const Pm__InstanceStatus *s, enum fact fact)
{
	bool cluster = s->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER;

	out->text = out->number;
	out->color = COLOR_NONE;
	out->is_number = false;
	switch (fact) {
	case F_ID:
		show_count(out, s->pm_id, COLOR_BOLD_CYAN);
		return;
	case F_NAME:
		show_text(out, s->name, COLOR_NONE);
		return;
	case F_NAMESPACE:
		show_text(out, s->namespace_, COLOR_NONE);
		return;
	case F_VERSION:
		show_text(out, s->version[0] == '\0' ? "N/A" : s->version, COLOR_NONE);
		return;
	case F_MODE:
		show_text(out, cluster ? "cluster" : "fork",
		          cluster ? COLOR_BOLD_BLUE : COLOR_BOLD_INVERSE);
		return;
	case F_PID:
		show_count(out, s->pid, COLOR_NONE);
		return;
	case F_UPTIME:
		show_uptime(out, s);
		return;
	case F_RESTARTS:
		show_count(out, s->restarts, COLOR_NONE);
		return;
	case F_STATUS:
		show_text(out, apps_state_name(s->state), apps_state_color(s->state));
		return;
	case F_CPU:
		show_cpu(out, s->cpu_permille);
		return;
	case F_MEM:
		show_count(out, s->memory, COLOR_NONE);
		pm_bytes_text(s->memory, out->number);
		return;
	case F_USER:
		show_text(out, s->user, COLOR_BOLD);
		return;
	case F_WATCHING:
		show_text(out, s->watching ? "enabled" : "disabled",
		          s->watching ? COLOR_BOLD_GREEN : COLOR_GREY);
		return;
	case F_INSTANCE:
		show_count(out, s->instance, COLOR_NONE);
		return;
	case F_UNSTABLE:
		show_count(out, s->unstable_restarts, COLOR_NONE);
		return;
	case F_CREATED:
		show_count(out, 0, COLOR_NONE);
		out->value = s->created_wall_ms;
		fmt_iso(s->created_wall_ms, out->number);
		return;
	case F_NOTE:
		show_text(out, s->note, COLOR_NONE);
		return;
	case F_HOST:
	case F_COUNT:
		break;
	}
	show_text(out, "", COLOR_NONE);
}

/* pmctl's own: the least telling columns go first. */
static const struct listing_column our_columns[F_COUNT] = {
	[F_HOST] = { .key = "host", .title = "host", .least = 8 },
	[F_ID] = { .key = "id", .title = "id", .right = true },
	[F_NAME] = { .key = "name", .title = "name", .least = 12, .most = 60, .name = true },
	[F_NAMESPACE] = { .key = "namespace",
	                  .title = "namespace",
	                  .rank = 8,
	                  .least = 9,
	                  .most = 30 },
	[F_VERSION] = { .key = "version", .title = "version", .rank = 11, .most = 16 },
	[F_MODE] = { .key = "mode", .title = "mode", .rank = 7 },
	[F_PID] = { .key = "pid", .title = "pid", .rank = 4, .right = true },
	[F_UPTIME] = { .key = "uptime", .title = "uptime", .rank = 3, .right = true },
	[F_RESTARTS] = { .key = "restarts", .title = "↺", .rank = 2, .right = true },
	[F_STATUS] = { .key = "status", .title = "status" },
	[F_CPU] = { .key = "cpu", .title = "cpu", .rank = 5, .right = true },
	[F_MEM] = { .key = "memory", .title = "mem", .rank = 6, .right = true },
	[F_USER] = { .key = "user", .title = "user", .rank = 9, .most = 16 },
	[F_WATCHING] = { .key = "watching", .title = "watching", .rank = 10 },
	[F_INSTANCE] = { .key = "instance", .title = "instance", .right = true, .wide = true },
	[F_UNSTABLE] = { .key = "unstable", .title = "unstable", .right = true, .wide = true },
	[F_CREATED] = { .key = "created", .title = "created", .wide = true },
	[F_NOTE] = { .key = "note", .title = "note", .wide = true },
};

const struct listing_columns apps_columns = { our_columns + F_ID, F_COUNT - F_ID, false };
const struct listing_columns apps_host_columns = { our_columns, F_COUNT, false };

void apps_listing_add(struct listing *l, const char *host, const Pm__InstanceStatus *s)
{
	struct shown shown;

	if (host != NULL)
		listing_cell(l, host, COLOR_NONE);
	for (enum fact fact = F_ID; fact < F_COUNT; fact++) {
		show(&shown, s, fact);
		if (shown.is_number)
			listing_number(l, shown.text, shown.value, shown.color);
		else
			listing_cell(l, shown.text, shown.color);
	}
}

struct layout {
	const struct table_column *columns;
	const enum fact *facts;
	size_t n;
};

static const enum fact all_facts[] = { F_ID,  F_NAME,   F_NAMESPACE, F_VERSION, F_MODE,
	                               F_PID, F_UPTIME, F_RESTARTS,  F_STATUS,  F_CPU,
	                               F_MEM, F_USER,   F_WATCHING };

/* PM2's widths are fixed but for the name's; condensed forms as the terminal narrows. */
#define PM2_ID                            \
	{                                 \
		.title = "id", .fixed = 2 \
	}
#define PM2_NAME                                                    \
	{                                                           \
		.title = "name", .extra = 3, .fixed = 4, .most = 38 \
	}
static const struct table_column pm2_full[] = {
	PM2_ID,
	PM2_NAME,
	{ .title = "namespace", .fixed = 11, .most = 11 },
	{ .title = "version", .fixed = 7, .most = 7 },
	{ .title = "mode", .fixed = 7, .most = 7 },
	{ .title = "pid", .fixed = 8, .most = 8 },
	{ .title = "uptime", .fixed = 6, .most = 6 },
	{ .title = "↺", .fixed = 4, .most = 4 },
	{ .title = "status", .fixed = 9, .most = 9 },
	{ .title = "cpu", .fixed = 8, .most = 8 },
	{ .title = "mem", .fixed = 8, .most = 8 },
	{ .title = "user", .fixed = 8, .most = 8 },
	{ .title = "watching", .fixed = 8, .most = 8 },
};
static const struct table_column pm2_condensed[] = {
	PM2_ID,
	PM2_NAME,
	{ .title = "mode", .fixed = 8, .most = 8 },
	{ .title = "↺", .fixed = 4, .most = 4 },
	{ .title = "status", .fixed = 9, .most = 9 },
	{ .title = "cpu", .fixed = 8, .most = 8 },
	{ .title = "memory", .fixed = 8, .most = 8 },
};
static const enum fact condensed_facts[] = { F_ID,     F_NAME, F_MODE, F_RESTARTS,
	                                     F_STATUS, F_CPU,  F_MEM };
static const struct table_column pm2_small[] = {
	PM2_ID,
	PM2_NAME,
	{ .title = "status", .fixed = 9, .most = 9 },
	{ .title = "cpu", .fixed = 6, .most = 6 },
	{ .title = "mem", .fixed = 8, .most = 8 },
};
static const enum fact small_facts[] = { F_ID, F_NAME, F_STATUS, F_CPU, F_MEM };

static const struct layout pm2_layouts[] = {
	{ pm2_full, all_facts, PM_COUNT(pm2_full) },
	{ pm2_condensed, condensed_facts, PM_COUNT(pm2_condensed) },
	{ pm2_small, small_facts, PM_COUNT(pm2_small) },
};

static struct table *fill(Pm__InstanceStatus *const *instances, size_t n, const struct layout *l,
                          struct pm_error *err)
{
	struct table *t = table_create(l->columns, l->n);
	PM_BUF scratch = { 0 };
	struct shown shown;

	if (t == NULL) {
		(void)pm_fail(err, PM_NO_MEMORY, "lay out the list");
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < l->n; c++) {
			show(&shown, instances[i], l->facts[c]);
			table_cell(t, clean(&scratch, shown.text), shown.color);
		}
	return t;
}

static int pm2_table(Pm__InstanceStatus *const *instances, size_t n, const struct apps_style *style,
                     struct pm_buf *out, struct pm_error *err)
{
	struct table_style ts = { .box = true, .color = style->color, .cut_end = true };

	for (size_t i = 0; i < PM_COUNT(pm2_layouts); i++) {
		PM_TABLE *t = fill(instances, n, &pm2_layouts[i], err);

		if (t == NULL)
			return -1;
		if (style->width == 0 || i + 1 == PM_COUNT(pm2_layouts) ||
		    table_full_width(t, &ts) <= style->width)
			return table_render(t, &ts, out, err);
	}
	return 0;
}

int apps_table(Pm__InstanceStatus *const *instances, size_t n, const struct apps_style *style,
               struct pm_buf *out, struct pm_error *err)
{
	static const struct listing_options all = { .form = LISTING_TABLE };
	struct listing_style ls = {
		.width = style->width,
		.box = style->box,
		.ascii = !style->utf8,
		.color = style->color,
	};
	PM_FREE size_t *rows = NULL;
	PM_LISTING *l = NULL;
	size_t n_rows;

	if (style->as_pm2)
		return pm2_table(instances, n, style, out, err);
	if (listing_create(&apps_columns, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		apps_listing_add(l, NULL, instances[i]);
	if (listing_choose(l, &all, &rows, &n_rows, err) < 0)
		return -1;
	return listing_text(l, &all, &ls, rows, n_rows, out, err);
}

static void mini_one(const Pm__InstanceStatus *s, struct pm_buf *out)
{
	bool online = s->state == PM__LIFE_STATE__LIFE_ONLINE;
	char uptime[PM_BYTES_TEXT] = "0", memory[PM_BYTES_TEXT];
	PM_BUF name = { 0 };
	PM_BUF error_file = { 0 };

	if (online)
		pm_uptime_text(s->uptime_ms, uptime);
	pm_bytes_text(s->memory, memory);
	pm_buf_printf(out, "+--- %s\n", clean(&name, s->name));
	pm_buf_printf(out, "namespace : %s\n", clean(&name, s->namespace_));
	pm_buf_printf(out, "version : %s\n",
	              s->version[0] == '\0' ? "N/A" : clean(&name, s->version));
	pm_buf_printf(out, "pid : %u\npm2 id : %u\nstatus : %s\nmode : %s\nrestarted : %u\n",
	              s->pid, s->pm_id, apps_state_name(s->state),
	              s->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER ? "cluster" : "fork",
	              s->restarts);
	pm_buf_printf(out, "uptime : %s\nmemory usage : %s \nerror log : %s\nwatching : %s\n",
	              uptime, memory, clean(&error_file, s->error_file),
	              s->watching ? "yes" : "no");
	pm_buf_printf(out, "PID file : %s\n\n", clean(&error_file, s->pid_file));
}

void apps_mini(Pm__InstanceStatus *const *instances, size_t n, struct pm_buf *out)
{
	for (size_t i = 0; i < n; i++)
		mini_one(instances[i], out);
}
