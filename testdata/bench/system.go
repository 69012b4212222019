package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// surroundings is where and of what the figures are.
type surroundings struct {
	Time       time.Time `json:"time"`
	Host       string    `json:"host"`
	Processor  string    `json:"processor"`
	Cores      int       `json:"cores"`
	Kernel     string    `json:"kernel"`
	Go         string    `json:"go"`
	Commit     string    `json:"commit"`
	Changed    bool      `json:"changed"` // the tree is not that of the commit
	Command    string    `json:"command"`
	LoadBefore float64   `json:"load_before"` // average of the last minute
	LoadAfter  float64   `json:"load_after"`
}

// String is what stands above the table.
func (s surroundings) String() string {
	return fmt.Sprintf("%s, %s: %d cores of %s, Linux %s, %s\ncommit %s%s, load %.2f before and %.2f after\n%s",
		s.Time.Format(time.DateTime), s.Host, s.Cores, s.Processor, s.Kernel, s.Go,
		s.Commit, map[bool]string{true: " with changes"}[s.Changed], s.LoadBefore, s.LoadAfter, s.Command)
}

// describe reads what is known before the run.
func describe() (surroundings, error) {
	var errs []error
	must := func(text string, err error) string {
		errs = append(errs, err)
		return text
	}
	before, err := first("/proc/loadavg")
	s := surroundings{
		Time: time.Now().Round(time.Second), Cores: goruntime.NumCPU(), Go: goruntime.Version(), LoadBefore: before,
		Command:   strings.Join(append([]string{"go run ./testdata/bench"}, os.Args[1:]...), " "),
		Host:      must(os.Hostname()),
		Processor: must(field("/proc/cpuinfo", "model name")),
		Kernel:    must(said("uname", "-r")),
		Commit:    must(said("git", "rev-parse", "--short", "HEAD")),
		Changed:   must(said("git", "--no-optional-locks", "status", "--porcelain")) != "",
	}
	return s, errors.Join(append(errs, err)...)
}

func said(command string, args ...string) (string, error) {
	out, err := exec.Command(command, args...).Output()
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", command, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// onDisk refuses a folder in memory, where syncing costs nothing.
func onDisk(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("asking for the file system of %s: %w", dir, err)
	}
	if s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC {
		return fmt.Errorf("%s is in memory; set TMPDIR to a folder on a disk", dir)
	}
	return nil
}

// first returns the number that a file begins with.
func first(file string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n, _, _ := strings.Cut(string(text), " ")
	return strconv.ParseFloat(n, 64)
}

// field returns a value of a file that has a name, a colon and a value in each row.
func field(file, name string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for row := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(row, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s has no %s", file, name)
}

// memory returns the KiB that a file of a process gives for a name. Nothing that is measured takes none.
func memory(pid int, file, name string) (float64, error) {
	text, err := field(fmt.Sprintf("/proc/%d/%s", pid, file), name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s of process %d is %q, which is no size", name, pid, text)
	}
	return n, nil
}

// threads is how long each thread of a process has been on a processor, by its file.
type threads map[string]time.Duration

// processorTime reads the scheduler's accounting, which is in nanoseconds. A thread that ends takes its own with it.
func processorTime(pid int) (threads, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return nil, err
	}
	all, sum := threads{}, 0.0
	for _, task := range tasks {
		n, err := first(task)
		if err != nil {
			return nil, err
		}
		all[task] = time.Duration(n)
		sum += n
	}
	if sum == 0 {
		return nil, fmt.Errorf("process %d has no threads, or the kernel does not account for them", pid)
	}
	return all, nil
}

// since is what has been used from an earlier reading on, of which no thread may have ended.
func (t threads) since(before threads) (sum time.Duration, err error) {
	for task := range before {
		if _, runs := t[task]; !runs {
			return 0, fmt.Errorf("a thread has ended, and with it the processor time that it used: %s", task)
		}
	}
	for task, used := range t {
		sum += used - before[task]
	}
	return sum, nil
}
