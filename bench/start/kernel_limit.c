/* The kernel's own limit: what one container start, exit and removal costs when no engine is there.
 *
 * Does, per round: make a cgroup in every hierarchy, clone into six namespaces, join the cgroups, mount an
 * overlay and seven more file systems, pivot_root, exec `true`, wait, remove the cgroups and the upper directory.
 * Prints nanoseconds per round, one a line.  Usage: kernel_limit LOWER WORKDIR ROUNDS CGROUP_DIR...
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK (256 * 1024)
static char stack[STACK] __attribute__((aligned(16)));
static char lower[PATH_MAX], work[PATH_MAX];
static int gate[2];

static void die(const char *what)
{
	fprintf(stderr, "kernel_limit: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void mount_or_die(const char *source, const char *target, const char *type, unsigned long flags,
			 const char *data)
{
	if (mount(source, target, type, flags, data))
		die(target);
}

static int child(void *unused)
{
	char options[4 * PATH_MAX], merged[PATH_MAX + 8], byte;
	(void)unused;
	close(gate[1]);
	if (read(gate[0], &byte, 1) != 1) /* until the parent has put us into the cgroups */
		die("gate");
	mount_or_die(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
	snprintf(merged, sizeof merged, "%s/merged", work);
	snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, work, work);
	mount_or_die("overlay", merged, "overlay", 0, options);
	if (chdir(merged))
		die("chdir");
	mount_or_die("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
	mount_or_die("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
	if (mkdir("dev/pts", 0755) || mkdir("dev/shm", 0755) || mkdir("dev/mqueue", 0755))
		die("mkdir dev");
	mount_or_die("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
	mount_or_die("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k");
	mount_or_die("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL);
	mount_or_die("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL);
	mount_or_die("tmpfs", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=755");
	if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		die("pivot_root");
	execl("/bin/true", "true", NULL);
	die("exec");
	return 1;
}

static void write_pid(const char *dir, pid_t pid)
{
	char path[PATH_MAX], text[16];
	int fd, n = snprintf(text, sizeof text, "%d", pid);
	snprintf(path, sizeof path, "%s/cgroup.procs", dir);
	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) < 0 || write(fd, text, n) != n)
		die(path);
	close(fd);
}

static void copy_cpuset(const char *dir)
{
	/* a new cpuset of cgroup v1 has neither processors nor memory nodes: take the parent's */
	static const char *files[] = {"cpuset.cpus", "cpuset.mems"};
	char from[PATH_MAX], to[PATH_MAX], buffer[256];
	for (int i = 0; i < 2; i++) {
		snprintf(from, sizeof from, "%s/../%s", dir, files[i]);
		snprintf(to, sizeof to, "%s/%s", dir, files[i]);
		int in = open(from, O_RDONLY), out = open(to, O_WRONLY);
		if (in >= 0 && out >= 0) {
			ssize_t n = read(in, buffer, sizeof buffer);
			if (n > 0 && write(out, buffer, n) != n)
				die(to);
		}
		if (in >= 0)
			close(in);
		if (out >= 0)
			close(out);
	}
}

int main(int argc, char **argv)
{
	int rounds = argc > 3 ? atoi(argv[3]) : 0, dirs = argc - 4, status;
	if (rounds <= 0 || !realpath(argv[1], lower) || !realpath(argv[2], work)) {
		fprintf(stderr, "usage: kernel_limit LOWER WORKDIR ROUNDS CGROUP_DIR...\n");
		return 2;
	}
	for (int round = 0; round < rounds; round++) {
		char path[PATH_MAX + 64];
		const char *sub[] = {"upper", "work", "merged"};
		struct timespec begin, end;
		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (int i = 0; i < 3; i++) {
			snprintf(path, sizeof path, "%s/%s", work, sub[i]);
			if (mkdir(path, 0755))
				die(path);
		}
		for (int i = 0; i < dirs; i++) {
			if (mkdir(argv[4 + i], 0755))
				die(argv[4 + i]);
			if (strstr(argv[4 + i], "/cpuset/"))
				copy_cpuset(argv[4 + i]);
		}
		if (pipe2(gate, O_CLOEXEC))
			die("pipe");
		pid_t pid = clone(child, stack + STACK,
				  CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
					  CLONE_NEWCGROUP | SIGCHLD,
				  NULL);
		if (pid < 0)
			die("clone");
		for (int i = 0; i < dirs; i++)
			write_pid(argv[4 + i], pid);
		if (write(gate[1], "g", 1) != 1)
			die("gate");
		if (waitpid(pid, &status, 0) != pid || status)
			die("container failed");
		close(gate[0]);
		close(gate[1]);
		for (int i = 0; i < dirs; i++)
			while (rmdir(argv[4 + i]))
				if (errno != EBUSY)
					die(argv[4 + i]);
		snprintf(path, sizeof path, "%s/work/work", work);
		rmdir(path);
		for (int i = 0; i < 3; i++) {
			snprintf(path, sizeof path, "%s/%s", work, sub[i]);
			if (rmdir(path) && errno != ENOTEMPTY)
				die(path);
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%lld\n", (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec);
	}
	return 0;
}
