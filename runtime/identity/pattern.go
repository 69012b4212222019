package identity

// MatchPattern reports whether a name is one that a pattern allows: * in it is any characters, "" is any name. A pattern in place of
// the name is matched where all that it allows is surely allowed. It takes time in proportion to the product of the lengths at most.
func MatchPattern(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	p, n := 0, 0
	star, resume := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
