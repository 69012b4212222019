package marks

import (
	"regexp"
	"strings"
)

// expressionForm is how expressions begin that read a name or call a function.
var expressionForm = regexp.MustCompile(`^(((data|input|event|facts|message|at)(\?\.|\.|\[)).*|instance|identity|[A-Za-z_]+\(.*\))$`)

// Resembles reports whether a literal text looks like an expression that somebody forgot to mark. Whoever asks compiles it to be sure.
func Resembles(text string) bool {
	return !strings.Contains(text, "\n") && expressionForm.MatchString(text)
}

// UnmarkedHint is the next step for such a text.
func UnmarkedHint(text string) string {
	return "mark it, or write ${ '" + strings.ReplaceAll(text, "'", `\'`) + "' } where the text itself is meant"
}
