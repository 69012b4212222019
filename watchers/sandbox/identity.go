package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// ErrNotRoot is the cause where a host that is not root is asked to become somebody else.
var ErrNotRoot = errors.New("only root can change to another user or group")

// Identity is a user as the kernel knows it.
type Identity struct {
	UID    uint32
	GID    uint32
	Groups []uint32
	Name   string // "" for a number without a name
	Home   string // "" for a number without a name
}

func (i *Identity) String() string {
	if i.Name != "" {
		return i.Name
	}
	return fmt.Sprintf("user %d", i.UID)
}

// LookUp finds a user and a group by name or number. It returns nil where neither is given, or where the host is
// that user already. Accounts come and go: look up again for each run.
func LookUp(name, group string) (*Identity, error) {
	if name == "" && group == "" {
		return nil, nil
	}
	who := &Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if name != "" {
		if err := who.setUser(name, group != ""); err != nil {
			return nil, err
		}
	}
	if group != "" {
		gid, err := groupNumber(group)
		if err != nil {
			return nil, err
		}
		who.GID = gid
	}
	if int(who.UID) == os.Geteuid() && int(who.GID) == os.Getegid() {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("running as %s: %w", who, ErrNotRoot)
	}
	return who, nil
}

// setUser takes a name, or a number that need not have one as long as a group is declared with it.
func (i *Identity) setUser(name string, hasGroup bool) error {
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		uid, numeric := number(name)
		if !numeric || !hasGroup {
			return fmt.Errorf("looking up the sandbox's user %q: %w", name, err)
		}
		i.UID, i.Groups = uid, nil
		return nil
	}
	uid, uidOK := number(u.Uid)
	gid, gidOK := number(u.Gid)
	if !uidOK || !gidOK {
		return fmt.Errorf("the sandbox's user %q has the numbers %q and %q, which are none of this system", name, u.Uid, u.Gid)
	}
	*i = Identity{UID: uid, GID: gid, Groups: supplementary(u), Name: u.Username, Home: u.HomeDir}
	return nil
}

// supplementary returns the user's groups. A system that cannot list them gives none, which is less, never more.
func supplementary(u *user.User) []uint32 {
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var groups []uint32
	for _, id := range ids {
		if gid, ok := number(id); ok {
			groups = append(groups, gid)
		}
	}
	return groups
}

func groupNumber(name string) (uint32, error) {
	if g, err := user.LookupGroup(name); err == nil {
		if gid, ok := number(g.Gid); ok {
			return gid, nil
		}
	}
	if gid, ok := number(name); ok {
		return gid, nil
	}
	return 0, fmt.Errorf("looking up the sandbox's group %q: %w", name, user.UnknownGroupError(name))
}

// number reads a user's or group's number; the largest means "no change" to the kernel and is none.
func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}
