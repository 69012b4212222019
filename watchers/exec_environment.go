package watchers

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

// hostPrefix is how the host's own variables begin, which may hold secrets and are nobody else's.
const hostPrefix = "STATECRAFT_"

// fallbackPath is used where the host itself has no PATH.
const fallbackPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// variables is an environment in which every name is there once. Programs differ in which of two they take.
type variables struct {
	list  []string
	index map[string]int
}

// set takes NAME=value; a later one replaces an earlier.
func (v *variables) set(entry string) {
	name, _, found := strings.Cut(entry, "=")
	if !found {
		return
	}
	if at, known := v.index[name]; known {
		v.list[at] = entry
		return
	}
	v.index[name] = len(v.list)
	v.list = append(v.list, entry)
}

func (v *variables) value(name string) string {
	at, known := v.index[name]
	if !known {
		return ""
	}
	return v.list[at][len(name)+1:]
}

// environment is what the command gets: the host's variables in a manifest of ours without a sandbox, the allowed ones of them in a sandbox, and
// none without a format, as with Choria; then ours, then those of the properties.
func (e *execWatcher) environment(look *Look, confine *sandbox.Confinement, paths execPaths) (*variables, error) {
	env := &variables{index: map[string]int{}}
	switch {
	case confine != nil:
		env.allow(e.spec.Sandbox.EnvAllow, confine.As)
	case look.Strict:
		env.inherit()
	}
	path := cmp.Or(os.Getenv("PATH"), fallbackPath)
	if look.Directory != "" {
		path += string(os.PathListSeparator) + look.Directory
	}
	env.set("PATH=" + path)
	env.set("MACHINE_NAME=" + look.Machine)
	env.set("MACHINE_WATCHER_NAME=" + look.Watcher)
	if paths.data != "" {
		env.set("WATCHER_DATA=" + paths.data)
		env.set("WATCHER_FACTS=" + paths.facts)
	}
	if !look.Deadline.IsZero() {
		env.set("MACHINE_DEADLINE=" + look.Deadline.UTC().Format(time.RFC3339Nano))
	}
	return env, e.declared(env, look)
}

func (e *execWatcher) declared(env *variables, look *Look) error {
	for _, entry := range e.spec.Environment {
		expanded, err := look.Expand(entry)
		if err != nil {
			return err
		}
		if strings.ContainsRune(expanded, 0) {
			return fmt.Errorf("the environment entry %q holds a NUL once expanded, which no program can be given", clean(expanded))
		}
		env.set(expanded)
	}
	return nil
}

func (v *variables) inherit() {
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, hostPrefix) {
			v.set(entry)
		}
	}
}

func (v *variables) allow(names []string, who *sandbox.Identity) {
	if who != nil {
		v.set("HOME=" + cmp.Or(who.Home, "/"))
		v.set("USER=" + who.Name)
		v.set("LOGNAME=" + who.Name)
	}
	for _, name := range names {
		if value, found := os.LookupEnv(name); found && !strings.HasPrefix(name, hostPrefix) {
			v.set(name + "=" + value)
		}
	}
}
