#include "cli/apps.h"

#include <stdlib.h>
#include <string.h>

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

/* One fact of an instance as a cell. */
enum fact {
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
	F_COUNT,
};

static void cell(struct table *t, const Pm__InstanceStatus *s, enum fact fact,
                 struct pm_buf *scratch)
{
	bool online = s->state == PM__LIFE_STATE__LIFE_ONLINE;
	bool cluster = s->exec_mode == PM__EXEC_MODE__EXEC_MODE_CLUSTER;
	char text[PM_BYTES_TEXT];

	switch (fact) {
	case F_ID:
		table_cellf(t, COLOR_BOLD_CYAN, "%u", s->pm_id);
		return;
	case F_NAME:
		table_cell(t, clean(scratch, s->name), COLOR_NONE);
		return;
	case F_NAMESPACE:
		table_cell(t, clean(scratch, s->namespace_), COLOR_NONE);
		return;
	case F_VERSION:
		table_cell(t, s->version[0] == '\0' ? "N/A" : clean(scratch, s->version),
		           COLOR_NONE);
		return;
	case F_MODE:
		table_cell(t, cluster ? "cluster" : "fork",
		           cluster ? COLOR_BOLD_BLUE : COLOR_BOLD_INVERSE);
		return;
	case F_PID:
		table_cellf(t, COLOR_NONE, "%u", s->pid);
		return;
	case F_UPTIME:
		if (online)
			pm_uptime_text(s->uptime_ms, text);
		table_cell(t, online ? text : "0", COLOR_NONE);
		return;
	case F_RESTARTS:
		table_cellf(t, COLOR_NONE, "%u", s->restarts);
		return;
	case F_STATUS:
		table_cell(t, apps_state_name(s->state), apps_state_color(s->state));
		return;
	case F_CPU:
		if (s->cpu_permille % 10 == 0)
			table_cellf(t, COLOR_NONE, "%u%%", s->cpu_permille / 10);
		else
			table_cellf(t, COLOR_NONE, "%u.%u%%", s->cpu_permille / 10,
			            s->cpu_permille % 10);
		return;
	case F_MEM:
		pm_bytes_text(s->memory, text);
		table_cell(t, text, COLOR_NONE);
		return;
	case F_USER:
		table_cell(t, clean(scratch, s->user), COLOR_BOLD);
		return;
	case F_WATCHING:
		table_cell(t, s->watching ? "enabled" : "disabled",
		           s->watching ? COLOR_BOLD_GREEN : COLOR_GREY);
		return;
	case F_COUNT:
		return;
	}
}

struct layout {
	const struct table_column *columns;
	const enum fact *facts;
	size_t n;
};

/* pmctl's own: the least telling columns go first. */
static const struct table_column our_columns[F_COUNT] = {
	[F_ID] = { .title = "id", .right = true },
	[F_NAME] = { .title = "name", .least = 12, .most = 60 },
	[F_NAMESPACE] = { .title = "namespace", .rank = 8, .least = 9, .most = 30 },
	[F_VERSION] = { .title = "version", .rank = 11, .most = 16 },
	[F_MODE] = { .title = "mode", .rank = 7 },
	[F_PID] = { .title = "pid", .rank = 4, .right = true },
	[F_UPTIME] = { .title = "uptime", .rank = 3, .right = true },
	[F_RESTARTS] = { .title = "↺", .rank = 2, .right = true },
	[F_STATUS] = { .title = "status" },
	[F_CPU] = { .title = "cpu", .rank = 5, .right = true },
	[F_MEM] = { .title = "mem", .rank = 6, .right = true },
	[F_USER] = { .title = "user", .rank = 9, .most = 16 },
	[F_WATCHING] = { .title = "watching", .rank = 10 },
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

static const struct layout our_layout = { our_columns, all_facts, PM_COUNT(all_facts) };
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

	if (t == NULL) {
		(void)pm_fail(err, PM_NO_MEMORY, "lay out the list");
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < l->n; c++)
			cell(t, instances[i], l->facts[c], &scratch);
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
	struct table_style ts = {
		.width = style->width,
		.box = style->box,
		.ascii = !style->utf8,
		.color = style->color,
		.titles = COLOR_BOLD,
	};
	PM_TABLE *t = NULL;

	if (style->as_pm2)
		return pm2_table(instances, n, style, out, err);
	t = fill(instances, n, &our_layout, err);
	return t == NULL ? -1 : table_render(t, &ts, out, err);
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
