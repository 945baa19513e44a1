/* The floor: replays one side of a recorded DICOM session, as fast as any server could.
 *
 * floor SCRIPT [PORT]   prints the port it listens on, and serves the script to one client after the other.
 *
 * A script is a sequence of records { char operation; uint8 connection; uint64 length } (packed, little endian):
 *   R   read `length` bytes and forget them        W   write the `length` bytes that follow the record
 *   C   connect this connection to PORT            E   end: close all, wait for the next client
 * Connection 0 is the accepted one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS 8
static char scratch[1 << 20];
static const int on = 1;

static int prompt(int fd) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int reach(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return -1;
    return prompt(fd);
}

static int take(int fd, uint64_t length) {
    while (length > 0) {
        ssize_t got = recv(fd, scratch, length < sizeof scratch ? length : sizeof scratch, 0);
        if (got <= 0) return -1;
        setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        length -= got;
    }
    return 0;
}

static int give(int fd, const char *data, uint64_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent <= 0) return -1;
        data += sent;
        length -= sent;
    }
    return 0;
}

static void replay(const char *at, const char *end, int client, int port) {
    int fds[CONNECTIONS];
    memset(fds, -1, sizeof fds);
    fds[0] = prompt(client);
    while (at + 10 <= end) {
        char operation = at[0];
        int which = (unsigned char)at[1] % CONNECTIONS;
        uint64_t length;
        memcpy(&length, at + 2, 8);
        at += 10;
        int failed = 0;
        if (operation == 'E') break;
        if (operation == 'C') failed = (fds[which] = reach(port)) < 0;
        if (operation == 'R') failed = take(fds[which], length);
        if (operation == 'W') {
            failed = give(fds[which], at, length);
            at += length;
        }
        if (failed) break;
    }
    for (int i = 0; i < CONNECTIONS; i++)
        if (fds[i] >= 0) close(fds[i]);
}

int main(int argc, char **argv) {
    struct stat status;
    int file = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    if (file < 0 || fstat(file, &status) != 0) return 2;
    const char *script = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (script == MAP_FAILED) return 2;
    signal(SIGPIPE, SIG_IGN);

    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) return 2;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client >= 0) replay(script, script + status.st_size, client, argc > 2 ? atoi(argv[2]) : 0);
    }
}
