/* Preloaded by the fault `clock-step`: adds the seconds in the file CHAOS_CLOCK to the time of day.
 *
 * It declares what it needs itself, so that a compiler without the headers of the C library can
 * compile it. The file is mapped once by each process, and holds one number of 8 bytes.
 */
struct timespec { long tv_sec; long tv_nsec; };
struct timeval { long tv_sec; long tv_usec; };
extern long syscall(long number, ...);
extern char *getenv(const char *name);
extern int open(const char *path, int flags, ...);
extern int close(int number);
extern void *mmap(void *place, unsigned long size, int access, int flags, int number, long offset);

#ifdef __aarch64__
#define SYS_CLOCK_GETTIME 113
#else
#define SYS_CLOCK_GETTIME 228 /* x86-64 */
#endif
#define REALTIME 0
#define REALTIME_COARSE 5

static const volatile long *shift(void)
{
	static const volatile long *found;
	static const long none = 0;
	if (!found) {
		const char *path = getenv("CHAOS_CLOCK");
		int number = path ? open(path, 02000000 /* O_CLOEXEC */) : -1;
		void *place = (void *) -1;
		if (number >= 0) {
			place = mmap(0, 8, 1 /* PROT_READ */, 1 /* MAP_SHARED */, number, 0);
			close(number);
		}
		found = place == (void *) -1 ? &none : place;
	}
	return found;
}

int clock_gettime(int clock, struct timespec *now)
{
	int code = syscall(SYS_CLOCK_GETTIME, clock, now);
	if (!code && (clock == REALTIME || clock == REALTIME_COARSE))
		now->tv_sec += *shift();
	return code;
}

int gettimeofday(struct timeval *now, void *zone)
{
	struct timespec found;
	int code = clock_gettime(REALTIME, &found);
	if (!code && now) {
		now->tv_sec = found.tv_sec;
		now->tv_usec = found.tv_nsec / 1000;
	}
	return code;
}

long time(long *now)
{
	struct timespec found;
	if (clock_gettime(REALTIME, &found))
		return -1;
	if (now)
		*now = found.tv_sec;
	return found.tv_sec;
}
