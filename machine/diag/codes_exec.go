package diag

// execEntries documents the codes of commands and of files that are run.
var execEntries = []Entry{
	{
		Code: "SC350", Title: "template in a shell command",
		Explanation: "A value that is put into a text for a shell could be run by it. Give it in environment and " +
			"write \"$NAME\". The same holds for every argument that a program runs, as behind sh -c, su -c, ssh, python -c, perl -e, awk " +
			"and sed, also where another program starts these, such as sudo or xargs, for the input of a command that runs what it reads, and " +
			"for variables such as BASH_ENV. The programs and variables are those of a list, which cannot be complete. " +
			"Arguments behind the text are values: sh -c 'echo \"$1\"' sh {{...}} is safe. What templates have come to is looked at before each run.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: 'echo {{ lookup "facts.name" "" }}', shell: true}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: 'echo "$NAME"', shell: true, environment: ['NAME={{ lookup "facts.name" "" }}']}}
`,
	},
	{
		Code: "SC351", Title: "environment",
		Explanation: "Each entry of environment is a name, an equals sign and a value.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, environment: ["2PORT"]}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, environment: ["PORT=8080"]}}
`,
	},
	{
		Code: "SC352", Title: "size",
		Explanation: "Sizes are numbers with a unit, such as 64KiB or 1MiB, within the bounds of the key.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, output_limit: lots}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, output_limit: 64KiB}}
`,
	},
	{
		Code: "SC353", Title: "command outside of the machine",
		Explanation: "A command with a relative path stays below the machine's directory. Write an absolute path, or " +
			"a name that PATH has.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ../check}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check}}
`,
	},
	{
		Code: "SC354", Title: "name of a variable",
		Explanation: "env_allow lists names of environment variables, not values.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, sandbox: {env_allow: ["LANG=C"]}}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./check, sandbox: {env_allow: [LANG]}}}
`,
	},
	{
		Code: "SC355", Title: "words of a command",
		Explanation: "A command is split into words as a shell would do it: a quote has to be closed, and the first word is the program.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: "./check --name 'web one"}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: "./check --name 'web one'"}}
`,
	},
	{
		Code: "SC356", Title: "shell syntax without a shell",
		Explanation: "A command is split into words and run without a shell: pipes, redirections, variables, patterns and the like are arguments as " +
			"they stand. Set shell: true, or put them between single quotes where the program is to have them.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: 'df / | grep -q 100%'}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: 'df / | grep -q 100%', shell: true}}
`,
	},
	{
		Code: "SC357", Title: "variable in the environment",
		Explanation: "Nothing replaces $NAME in an entry of environment; the command gets it as it stands.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: check, environment: ['PATH=/opt/web:$PATH']}}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - {name: check, type: exec, interval: 10s, success_transition: done, properties: {command: 'PATH=/opt/web:$PATH exec check', shell: true}}
`,
	},
	{
		Code: "SC358", Title: "template in a program",
		Explanation: "The file that is written is a program: it begins with #! or may be executed. Whoever says the value of the template could say " +
			"what is run. Let the program read the value from a file of its own, or from its environment. A manifest without format is warned only.",
		Bad: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: script
    type: file
    success_transition: done
    properties: {path: hello, contents: "#!/bin/sh\necho {{ lookup \"facts.name\" \"\" }}\n", owner: root, group: root, mode: "0755"}
`,
		Good: `format: 1
name: web
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: greeting
    type: file
    success_transition: done
    properties: {path: hello.txt, contents: "{{ lookup \"facts.name\" \"\" }}\n", owner: root, group: root, mode: "0644"}
`,
	},
}
