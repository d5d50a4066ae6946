# A library like a C library, as small as can be: what the search for sites looks at.
    .text
    .macro watched name, number
    .globl \name
    .type \name, @function
\name:
    nop
    nop
    nop
    nop
    nop
    nop
    nop
    nop
    mov $\number, %eax
    syscall
    cmp $-4095, %rax
    jae 1f
    ret
1:  or $-1, %rax
    ret
    .size \name, . - \name
    .endm

    watched open, 2
    watched connect, 42
    watched execve, 59
    watched execveat, 322
    .globl openat
    .type openat, @function
openat:
    nop
    nop
    nop
    nop
    nop
    nop
    nop
    nop
    mov $257, %eax
    mov %rdi, %rsi
    mov $-100, %edi
    syscall
    ret
    .size openat, . - openat
