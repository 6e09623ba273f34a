// Counts what a process does to files below one folder and, at a chosen event, kills it or lets the system fail.
//
// Loaded with LD_PRELOAD: every writer - Python, Rust, C++ - meets it where it calls the C library. An event is opening a
// file for writing, a write, a sync, a truncation, a rename, a removal, a change of mode, a new folder.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum action { NOTHING, KILL, FULL, READ_ONLY, VANISH, INTERRUPT };
enum event { GROWS, CHANGES };  // what a full disk refuses, and what only a read-only one does

static char folder[PATH_MAX];
static size_t length;
static long at;
static enum action action;
static int number;     // of the error or signal
static long* counter;  // shared with the process that forked this one

long* faults_counter(void) {
  if (!counter) counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return counter;
}

void faults_arm(const char* below, long event, int what, int value) {
  snprintf(folder, sizeof folder, "%s", below);
  at = event;
  action = what;
  number = value;
  *faults_counter() = 0;
  length = strlen(folder);
}

#define NEXT(name) \
  static __typeof__(&name) next; \
  if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int inside(const char* path) {
  return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int below(int base, const char* path) {
  char full[2 * PATH_MAX], link[64];
  if (!length || !path) return 0;
  if (path[0] == '/') return inside(path);
  snprintf(link, sizeof link, base == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", base);
  ssize_t n = readlink(link, full, PATH_MAX);
  if (n < 0) return 0;
  snprintf(full + n, sizeof full - (size_t)n, "/%s", path);
  return inside(full);
}

static int open_below(int file) {
  char link[64], full[PATH_MAX];
  if (!length) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t n = readlink(link, full, sizeof full - 1);
  if (n < 0) return 0;
  full[n] = 0;
  return inside(full);
}

// One event. Gives the error to fail with, or 0. `first` is set where it is the very event that was chosen.
static int event(enum event kind, int* first) {
  long now = __atomic_add_fetch(faults_counter(), 1, __ATOMIC_SEQ_CST);
  if (first) *first = now == at;
  if (!at || now < at) return 0;
  switch (action) {
    case KILL:
      if (!first) kill(getpid(), SIGKILL);  // a write dies half-way
      return 0;
    case INTERRUPT:
      if (now == at) kill(getpid(), number);
      return 0;
    case VANISH:
      if (now == at) {
        char gone[PATH_MAX + 8];
        snprintf(gone, sizeof gone, "%s.gone", folder);
        size_t kept = length;
        length = 0;
        rename(folder, gone);
        length = kept;
      }
      return 0;
    case FULL:
      return kind == GROWS ? number : 0;
    case READ_ONLY:
      return number;
    default:
      return 0;
  }
}

#define GUARD(is_below, kind, call) \
  do { \
    if (is_below) { \
      int error = event(kind, NULL); \
      if (error) { \
        errno = error; \
        return -1; \
      } \
    } \
    return call; \
  } while (0)

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))

#define OPEN(name) \
  int name(const char* path, int flags, ...) { \
    NEXT(name); \
    va_list list; \
    va_start(list, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list); \
    GUARD(WRITES(flags) && below(AT_FDCWD, path), GROWS, next(path, flags, mode)); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
  int name(int base, const char* path, int flags, ...) { \
    NEXT(name); \
    va_list list; \
    va_start(list, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list); \
    GUARD(WRITES(flags) && below(base, path), GROWS, next(base, path, flags, mode)); \
  }
OPENAT(openat)
OPENAT(openat64)

#define DEFINE_FOPEN(name) \
  FILE* name(const char* path, const char* mode) { \
    NEXT(name); \
    if (strpbrk(mode, "wa+") && below(AT_FDCWD, path)) { \
      int error = event(GROWS, NULL); \
      if (error) { \
        errno = error; \
        return NULL; \
      } \
    } \
    return next(path, mode); \
  }
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

ssize_t write(int file, const void* data, size_t size) {
  NEXT(write);
  if (open_below(file)) {
    int first, error = event(GROWS, &first);
    if (action == KILL && at && *counter >= at) {
      next(file, data, size / 2);
      kill(getpid(), SIGKILL);
    }
    if (error && first && size > 1) return next(file, data, size / 2);  // what still fits
    if (error) {
      errno = error;
      return -1;
    }
  }
  return next(file, data, size);
}

ssize_t writev(int file, const struct iovec* parts, int count) {
  NEXT(writev);
  GUARD(open_below(file), GROWS, next(file, parts, count));
}
ssize_t pwrite64(int file, const void* data, size_t size, off64_t offset) {
  NEXT(pwrite64);
  GUARD(open_below(file), GROWS, next(file, data, size, offset));
}
int ftruncate64(int file, off64_t size) {
  NEXT(ftruncate64);
  GUARD(open_below(file), CHANGES, next(file, size));
}
int fsync(int file) {
  NEXT(fsync);
  GUARD(open_below(file), GROWS, next(file));
}
int rename(const char* from, const char* to) {
  NEXT(rename);
  GUARD(below(AT_FDCWD, to), CHANGES, next(from, to));
}
int renameat(int a, const char* from, int b, const char* to) {
  NEXT(renameat);
  GUARD(below(b, to), CHANGES, next(a, from, b, to));
}
int unlink(const char* path) {
  NEXT(unlink);
  GUARD(below(AT_FDCWD, path), CHANGES, next(path));
}
int unlinkat(int base, const char* path, int flags) {
  NEXT(unlinkat);
  GUARD(below(base, path), CHANGES, next(base, path, flags));
}
int rmdir(const char* path) {
  NEXT(rmdir);
  GUARD(below(AT_FDCWD, path), CHANGES, next(path));
}
int chmod(const char* path, mode_t mode) {
  NEXT(chmod);
  GUARD(below(AT_FDCWD, path), CHANGES, next(path, mode));
}
int mkdir(const char* path, mode_t mode) {
  NEXT(mkdir);
  GUARD(below(AT_FDCWD, path), GROWS, next(path, mode));
}
