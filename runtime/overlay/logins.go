package overlay

import (
	"strings"
	"sync"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/cell"
)

// maxLogins bounds the names that are remembered. Every one of them is of a token that the cell's authority, or a host's issuer, has signed.
const maxLogins = 100_000

// logins are the names that clients and services have logged in under, which no node may have. The zero logins is ready.
type logins struct {
	mu    sync.Mutex
	known map[cell.Login]bool
	next  []cell.Login // that nobody was told yet
}

// add takes a name as it is written in subjects, with = for the dot. One that no node can have in any spelling is left out.
func (l *logins) add(purpose identity.Purpose, name string) {
	id, err := identity.FromToken(strings.ToLower(name))
	if err != nil {
		return
	}
	login := cell.Login{Token: id.Token(), Kind: string(purpose)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[login] || len(l.known) >= maxLogins {
		return
	}
	if l.known == nil {
		l.known = map[cell.Login]bool{}
	}
	l.known[login] = true
	l.next = append(l.next, login)
}

// take returns the next name that nobody was told yet.
func (l *logins) take() (login cell.Login, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.next) == 0 {
		return cell.Login{}, false
	}
	login, l.next = l.next[0], l.next[1:]
	return login, true
}

// Login implements cell.Member.
func (h *Host) Login() (cell.Login, bool) { return h.logins.take() }

// reserved are names that no node may have although nobody may have logged in under them yet.
func (h *Host) reserved() []any {
	names := []any{h.cfg.Config.Host, "operator"}
	for _, list := range [][]string{h.cfg.Config.Founders, h.cfg.Config.Reserved} {
		for _, name := range list {
			names = append(names, name)
		}
	}
	return names
}
