/* Preloaded into a Redis server: writes down how long each append-only file was when it was last synced, so that a
 * power loss can be played: kill the server, cut its files down to what the disk surely had.
 *
 * With $FSYNC_TAKES_MS every sync takes that long, as on a disk that others keep busy.
 *
 * Each line of $FSYNC_JOURNAL is "<inode> <bytes>\n": the size *before* the call, for what is written meanwhile by
 * another thread need not be on the disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(const struct stat *was) {
  const char *path = getenv("FSYNC_JOURNAL");
  if (!path || !S_ISREG(was->st_mode)) return;
  int journal = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (journal < 0) return;
  char line[64];
  int length = snprintf(line, sizeof line, "%lu %lld\n", (unsigned long)was->st_ino, (long long)was->st_size);
  if (write(journal, line, length) != length) abort();
  close(journal);
}

static int synced(const char *name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct stat was;
  int known = fstat(fd, &was) == 0;
  const char *slow = getenv("FSYNC_TAKES_MS");
  if (slow) usleep(1000 * atoi(slow));
  int result = real(fd);
  if (result == 0 && known) note(&was);
  return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
