/* pmctl.c - main() of pmctl, also installed under the name pm2. */
#include "cli/main.h"

int main(int argc, char **argv)
{
	return pmctl_main(argc, argv);
}
