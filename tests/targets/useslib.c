/* A program that needs a library with a constructor. */
#include <stdio.h>
int ctorlib_answer(void) __attribute__((weak));
int main(void) {
    printf("answer %d\n", ctorlib_answer ? ctorlib_answer() : 0);
    return 0;
}
