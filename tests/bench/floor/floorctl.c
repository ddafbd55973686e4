/* floorctl.c - asks a floor: floorctl SOCKET list|jlist. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char bytes[65536];
	ssize_t n;
	int fd;

	if (argc != 3 || strlen(argv[1]) >= sizeof(address.sun_path))
		return 2;
	memcpy(address.sun_path, argv[1], strlen(argv[1]) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror(argv[1]);
		return 1;
	}
	if (write(fd, argv[2], strlen(argv[2])) < 0)
		return 1;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t done = 0, part; done < n; done += part) {
			part = write(STDOUT_FILENO, bytes + done, (size_t)(n - done));
			if (part < 0)
				return 1;
		}
	return n < 0;
}
