package diag

// credentialsEntries documents the codes of the identity and token watchers' properties.
var credentialsEntries = []Entry{
	{
		Code: "SC343", Title: "property that an action needs",
		Explanation: "The action of an identity or token watcher cannot be done without this property: stage needs a document, issue a purpose " +
			"and a lifetime, verify a purpose and a token, store a token.",
		Bad: `format: 1
name: proof
version: 1.0.0
initial_state: proving
states: {proven: {final: success}, failed: {final: failure}}
transitions:
  - {name: prove, from: [proving], destination: proven}
  - {name: fail, from: [proving], destination: failed}
watchers:
  - name: sign
    type: token
    success_transition: prove
    fail_transition: fail
    properties: {action: issue, purpose: proof}
`,
		Good: `format: 1
name: proof
version: 1.0.0
initial_state: proving
states: {proven: {final: success}, failed: {final: failure}}
transitions:
  - {name: prove, from: [proving], destination: proven}
  - {name: fail, from: [proving], destination: failed}
watchers:
  - name: sign
    type: token
    success_transition: prove
    fail_transition: fail
    properties: {action: issue, purpose: proof, lifetime: 1m}
`,
	},
	{
		Code: "SC344", Title: "property that an action does not read",
		Explanation: "The property belongs to another action of an identity or token watcher, so that it would have no effect.",
		Bad: `format: 1
name: keys
version: 1.0.0
initial_state: bare
states: {keyed: {final: success}, broken: {final: failure}}
transitions:
  - {name: made, from: [bare], destination: keyed}
  - {name: break, from: [bare], destination: broken}
watchers:
  - name: key
    type: identity
    success_transition: made
    fail_transition: break
    properties: {action: ensure, document: data.assignment}
`,
		Good: `format: 1
name: keys
version: 1.0.0
initial_state: bare
states: {keyed: {final: success}, broken: {final: failure}}
transitions:
  - {name: made, from: [bare], destination: keyed}
  - {name: break, from: [bare], destination: broken}
watchers:
  - name: key
    type: identity
    success_transition: made
    fail_transition: break
    properties: {action: ensure}
`,
	},
}
