/* Answers 200 on 127.0.0.1:PORT, one connection at a time: as little of a server as there can be. */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

int main(void) {
    const char *port = getenv("PORT");
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char request[4096];
    if (!port)
        return 2;
    at.sin_port = htons((unsigned short)atoi(port));
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 128))
        return 1;
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            continue;
        if (read(client, request, sizeof request) > 0 && write(client, answer, sizeof answer - 1) < 0)
            return 1;
        close(client);
    }
}
