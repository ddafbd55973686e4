/* nothing.c - ends at once: what an exec alone costs. */
int main(void)
{
	return 0;
}
