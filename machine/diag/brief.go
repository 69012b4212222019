package diag

import "strings"

// MaxBrief is how many bytes of a text from elsewhere a log line, an error or a report quotes where nothing smaller is said.
const MaxBrief = 1000

// Brief cuts a text that somebody else chose to limit bytes, for a message: whoever sends does not decide how large the receiver's log lines,
// records and answers get. What is cut is marked by dots beyond the limit, and stays UTF-8.
func Brief(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
