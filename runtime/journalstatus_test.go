package runtime

import "github.com/statecraft-io/statecraft/runtime/journal"

// JournalStatus lets crash tests know up to where the log is synced.
func (h *Host) JournalStatus() journal.Status { return h.store.Status() }
