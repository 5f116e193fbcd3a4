/* The native hello, for runc and crun: writes a line and ends; with an argument it stays until it is killed. */
#include <unistd.h>

int main(int count, char **arguments) {
    static const char line[] = "hello\n";
    (void)arguments;
    if (write(STDOUT_FILENO, line, sizeof line - 1) != sizeof line - 1)
        return 1;
    while (count > 1)
        pause();
    return 0;
}
