#include "cli/log_places.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 1000000 /* of a source: far above what an agent has */

void log_places_finish(struct log_places *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->list[i].view.name);
		free(p->list[i].view.path);
		pm_buf_finish(&p->list[i].tail);
	}
	free(p->list);
	free(p->numbers);
	*p = (struct log_places){ 0 };
}

static struct log_place *find(struct log_places *p, const Pm__LogSource *s)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->list[i].view.path, s->path) == 0 &&
		    p->list[i].view.err == (s->err != 0) &&
		    (s->merged || p->list[i].view.pm_id == s->pm_id))
			return &p->list[i];
	return NULL;
}

static struct log_place *add(struct log_places *p, const Pm__LogSource *s)
{
	struct log_place *grown = pm_realloc(p->list, (p->n + 1) * sizeof(*grown));
	struct log_place *new;

	if (grown == NULL)
		return NULL;
	p->list = grown;
	new = &grown[p->n];
	*new = (struct log_place){ .view = {
					   .pm_id = s->pm_id, .err = s->err, .agent = s->agent } };
	new->view.name = pm_strdup(s->name);
	new->view.path = pm_strdup(s->path);
	if (new->view.name == NULL || new->view.path == NULL) {
		free(new->view.name);
		free(new->view.path);
		return NULL;
	}
	p->n++;
	return new;
}

int log_places_announce(struct log_places *p, const Pm__LogSource *s, bool resuming,
                        struct log_place **out, struct pm_error *err)
{
	struct log_place *place = find(p, s);

	if (place == NULL)
		place = add(p, s);
	if (place == NULL || s->source > NUMBER_MAX)
		return pm_fail(err, PM_NO_MEMORY, "show the logs");
	if (s->source >= p->n_numbers) {
		size_t n = s->source + 1;
		size_t *numbers = pm_realloc(p->numbers, n * sizeof(*numbers));

		if (numbers == NULL)
			return pm_fail(err, PM_NO_MEMORY, "show the logs");
		for (size_t i = p->n_numbers; i < n; i++)
			numbers[i] = SIZE_MAX;
		p->numbers = numbers;
		p->n_numbers = n;
	}
	p->numbers[s->source] = (size_t)(place - p->list);
	/* An agent that resumes where it is told repeats nothing. */
	place->resuming = place->seen && resuming && !s->resumed;
	if (s->boot_id.len == sizeof(place->boot))
		memcpy(place->boot, s->boot_id.data, sizeof(place->boot));
	*out = place;
	return 0;
}

struct log_place *log_places_get(struct log_places *p, uint32_t number)
{
	if (number >= p->n_numbers || p->numbers[number] == SIZE_MAX)
		return NULL;
	return &p->list[p->numbers[number]];
}

bool log_place_repeats(struct log_place *place, const Pm__LogLine *line, uint64_t *missed)
{
	*missed = 0;
	if (place->resuming && line->offset < place->next) {
		/* A new file under the old name begins at 0 again; then nothing repeats. */
		if (line->offset + line->text.len < place->next)
			return true;
	} else if (place->resuming) {
		place->resuming = false;
		*missed = line->offset - place->next;
	}
	place->seen = true;
	place->file = line->file;
	place->wall_ms = line->wall_ms != 0 ? line->wall_ms : place->wall_ms;
	place->next = line->offset + line->text.len + (line->partial ? 0 : 1);
	return false;
}
