package diag

// propertyEntries documents the codes of the properties of watcher types.
var propertyEntries = []Entry{
	{
		Code: "SC250", Title: "template",
		Explanation: "The template of a property cannot be read: its syntax, or the name of a function.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: './check {{ lookpu "facts.os" "" }}'}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: './check {{ lookup "facts.os" "" }}'}}
`,
	},
	{
		Code: "SC257", Title: "expression of a property",
		Explanation: "A property that is written as an expression cannot be compiled, or never gives what is needed: a condition is true or false, a key is a text. Such expressions see data, input, facts, identity, machine, " +
			"instance, state, at, get_fact(path), merge(mapping, mapping) and, where the watcher is sent something, message.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, input: "{state: stat}"}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, input: "{state: state}"}}
`,
	},
	{
		Code: "SC258", Title: "quota or size of a listener",
		Explanation: "A rate is a whole number, or a size with KiB, MiB or GiB, and a unit of time: s, m, h or d, such as 10/s or 2KiB/h. A size is a whole " +
			"number of bytes of at least 1, with KiB, MiB or GiB or without a unit. " +
			"A quota has a rate, or bytes, or both: what is taken at once (burst, bytes_burst) says nothing by itself.",
		Bad: `format: 1
name: listener
version: 1.0.0
initial_state: idle
transitions:
  - {name: heard, from: [idle], destination: idle}
watchers:
  - name: listen
    type: subscribe
    success_transition: heard
    properties: {subject: in.*, quota: [{by: "message.tokens[1]", rate: often}]}
`,
		Good: `format: 1
name: listener
version: 1.0.0
initial_state: idle
transitions:
  - {name: heard, from: [idle], destination: idle}
watchers:
  - name: listen
    type: subscribe
    success_transition: heard
    properties: {subject: in.*, quota: [{by: "message.tokens[1]", rate: 10/s}]}
`,
	},
	{
		Code: "SC259", Title: "fields of a message",
		Explanation: "Each field of a body has a name, a type and, where that is a text, a name, a list or an open object, a size. A field of an object comes behind " +
			"the object.",
		Bad: `format: 1
name: listener
version: 1.0.0
initial_state: idle
transitions:
  - {name: heard, from: [idle], destination: idle}
watchers:
  - name: listen
    type: subscribe
    success_transition: heard
    properties: {subject: in.*, fields: [{name: node, type: text}]}
`,
		Good: `format: 1
name: listener
version: 1.0.0
initial_state: idle
transitions:
  - {name: heard, from: [idle], destination: idle}
watchers:
  - name: listen
    type: subscribe
    success_transition: heard
    properties: {subject: in.*, fields: [{name: node, type: text, max_size: 253}]}
`,
	},
	{
		Code: "SC340", Title: "path of a file watcher",
		Explanation: "A relative path stays below the machine's directory. Write an absolute one for files elsewhere.",
		Bad: `format: 1
name: motd
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: ../motd, contents: hello, owner: root, group: root, mode: "0644"}
`,
		Good: `format: 1
name: motd
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: motd, contents: hello, owner: root, group: root, mode: "0644"}
`,
	},
	{
		Code: "SC341", Title: "mode of a file",
		Explanation: "A mode is three or four octal digits, with or without a leading 0 or 0o.",
		Bad: `format: 1
name: motd
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: motd, contents: hello, owner: root, group: root, mode: "rw-r--r--"}
`,
		Good: `format: 1
name: motd
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: motd, contents: hello, owner: root, group: root, mode: "0644"}
`,
	},
	{
		Code: "SC342", Title: "contents without an owner",
		Explanation: "A file whose contents are managed has its owner, group and mode managed too, so that nobody is " +
			"surprised by who can read it.",
		Bad: `format: 1
name: motd
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: motd, contents: hello, group: root, mode: "0644"}
`,
		Good: `format: 1
name: motd
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: motd
    type: file
    success_transition: done
    properties: {path: motd, contents: hello, owner: root, group: root, mode: "0644"}
`,
	},
	{
		Code: "SC345", Title: "source of facts",
		Explanation: "A source is exactly one of file, command and directory; a facts watcher has the host's own " +
			"facts or a source.",
		Bad: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      max_bytes: 256KiB
      sources:
        - {file: site.yaml, command: ./site, key: site}
`,
		Good: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      max_bytes: 256KiB
      sources:
        - {file: site.yaml, key: site}
`,
	},
	{
		Code: "SC346", Title: "size of facts",
		Explanation: "Sizes are numbers with a unit, such as 64KiB or 1MiB, within what a host can hold.",
		Bad: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      max_bytes: lots
      sources:
        - {file: site.yaml, key: site}
`,
		Good: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      max_bytes: 256KiB
      sources:
        - {file: site.yaml, key: site}
`,
	},
	{
		Code: "SC359", Title: "mode that gives others more than the owner",
		Explanation: "A mode is read as octal digits, whether it is quoted or not. A program that rewrites YAML may have printed 0644 as the decimal number that it is, 420, which is " +
			"r---w---- in octal.",
		Bad: `format: 1
name: keeper
version: 1.0.0
initial_state: keeping
transitions:
  - {name: written, from: [keeping], destination: keeping}
watchers:
  - name: conf
    type: file
    success_transition: written
    properties: {path: app.conf, contents: x, owner: root, group: root, mode: 420}
`,
		Good: `format: 1
name: keeper
version: 1.0.0
initial_state: keeping
transitions:
  - {name: written, from: [keeping], destination: keeping}
watchers:
  - name: conf
    type: file
    success_transition: written
    properties: {path: app.conf, contents: x, owner: root, group: root, mode: "0644"}
`,
	},
	{
		Code: "SC347", Title: "path of facts",
		Explanation: "A relative path stays below the machine's directory. Write an absolute one for files elsewhere.",
		Bad: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      max_bytes: 256KiB
      sources:
        - {file: ../site.yaml, key: site}
`,
		Good: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      max_bytes: 256KiB
      sources:
        - {file: site.yaml, key: site}
`,
	},
	{
		Code: "SC348", Title: "key of facts",
		Explanation: "The facts of a source go to a dotted path of names. The name statecraft is taken.",
		Bad: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      max_bytes: 256KiB
      sources:
        - {file: site.yaml, key: "a..b"}
`,
		Good: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      max_bytes: 256KiB
      sources:
        - {file: site.yaml, key: site}
`,
	},
	{
		Code: "SC349", Title: "words of a command for facts",
		Explanation: "A command is split into words as a shell would do it: a quote has to be closed, and the first word is the program.",
		Bad: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      sources:
        - {command: "./site --name 'web one"}
`,
		Good: `format: 1
name: facts
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: facts
    type: facts
    interval: 5m
    success_transition: done
    properties:
      sources:
        - {command: "./site --name 'web one'"}
`,
	},
}
