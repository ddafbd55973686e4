#include "coordinator/cut_off.h"

bool cut_off_is(const struct cut_off *c)
{
	return c->before > 0;
}

bool cut_off_lost(struct cut_off *c, size_t n_connected, size_t n_gone)
{
	if (cut_off_is(c) || n_connected + n_gone < CUT_OFF_LEAST || n_gone <= n_connected)
		return false;
	c->before = n_connected + n_gone;
	return true;
}

bool cut_off_came(struct cut_off *c, size_t n_connected)
{
	if (!cut_off_is(c) || n_connected * 2 <= c->before)
		return false;
	cut_off_accept(c);
	return true;
}

void cut_off_accept(struct cut_off *c)
{
	c->before = 0;
}
