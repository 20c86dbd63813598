/* Copyright: (c) 2026, fleet.ipsec contributors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Preloaded into a guest kernel (User-Mode Linux) on a processor with AMX.
 *
 * Linux 6.1 as a guest knows 2,696 octets of registers at the most and sets those of its processes by ptrace. A machine
 * whose processor has more takes all of its registers or none, so the guest would abort at its first process. Here the
 * rest is what the process has already.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NT_X86_XSTATE 0x202
#define ALL_REGISTERS 16384 /* octets: more than any processor has */

static long ask(long request, pid_t process, void *address, void *data)
{
	return syscall(SYS_ptrace, request, process, address, data);
}

static long set_registers(pid_t process, void *kind, const struct iovec *known)
{
	/* Not on the stack: a guest's own are small. A guest kernel has one thread. */
	static char all[ALL_REGISTERS] __attribute__((aligned(64)));
	struct iovec whole = {all, sizeof(all)};

	if (ask(PTRACE_GETREGSET, process, kind, &whole) < 0)
		return -1;
	memcpy(all, known->iov_base, known->iov_len < whole.iov_len ? known->iov_len : whole.iov_len);
	return ask(PTRACE_SETREGSET, process, kind, &whole);
}

/* The C library's ptrace, which gives the word that was peeked as its value. */
long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	pid_t process;
	void *address, *data;
	long word;

	va_start(arguments, request);
	process = va_arg(arguments, pid_t);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);

	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		if (ask(request, process, address, &word) < 0)
			return -1;
		errno = 0;
		return word;
	}
	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE)
		return set_registers(process, address, data);
	return ask(request, process, address, data);
}
