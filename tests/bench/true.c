/* The smallest program of musl: what an exec costs when the rest costs little. */
int main(void) { return 0; }
