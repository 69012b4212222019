package watchers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestB17ProgramTexts holds which words of a command are run as a program: X is to be found, and x is not.
func TestB17ProgramTexts(t *testing.T) {
	for _, command := range []string{
		`sh -c X`, `/bin/sh -c X x x`, `bash -lc X`, `bash -euo pipefail -c X x`, `bash -c -o pipefail X x`, `bash --norc -c X`, `bash -c -- X x`,
		`bash --rcfile x -c X`, `dash -ec X`, `zsh -fc X`, `ksh93 -c X`, `bash script -c x`, `bash script x`, `sh -e script x`, `sh +e -c X`,
		`su -c X`, `su - nobody -c X`, `su nobody -s /bin/sh -- -c X`, `su -- nobody -c X`, `su --comm=X nobody`, `su --c X`, `capsh -- -c X`, `sg x -c X`, `su nobody -c X`, `su -s /bin/sh nobody -c X`, `su --command=X nobody`, `su --command X nobody`, `su -cX`,
		`runuser -u nobody -- sh -c X`, `su nobody -- script x`,
		`ssh host X X`, `ssh x`, `ssh -p x -i x x`, `ssh -l x host X`, `ssh -t host -p 22 X X`, `ssh -o X host`, `ssh -oX host`, `ssh -- x X`,
		`env A=x sh -c X`, `env -i A=x bash -c X`, `env -S X`, `env A=x printenv A`, `sudo -u x sh -c X`, `sudo -n -- bash -c X`,
		`xargs sh -c X`, `xargs -r -n1 sh -c X x`, `nice -n 5 sh -c X`, `timeout x sh -c X`, `nsenter -t x sh -c X`, `setsid -w sh -c X`,
		`docker exec x sh -c X`, `kubectl exec x -- sh -c X`, `find x -exec sh -c X x ;`, `flock -w 5 /lock -c X`, `flock /lock sh -c X`,
		`flock /lock grep -c x`, `script -qc X /dev/null`, `/opt/own/tool --run sh -c X`,
		`python -c X x`, `python3.11 -Ic X`, `python3 -W x -c X`, `python -m x -c x`, `python tool.py -c x`, `/usr/bin/env python3 -c X`,
		`perl -e X x`, `perl -lane X`, `perl -i.bak -pe X X`, `perl -pi -e X X X`, `perl -n script X`, `perl -n -- script X`, `perl -e X x -n`, `perl -ne X -- X`, `perl -0777 -e X x`,
		`python -m timeit X X`, `python3 -Im timeit -n x -s X X`, `python3 -mtimeit --setup X X`, `python -m pdb x`,
		`vim -c X x`, `vim x -c X`, `vi +X x`, `nvim --cmd X -S x x`, `sudo ex -s x -cX`, `tool vi -c x`, `perl -MX -E X`, `perl script.pl -e x`, `ruby -rjson -e X`,
		`node -e X`, `node --eval=X`, `nodejs -r x -p X`, `php -r X`, `lua5.4 -e X`, `Rscript -e X`, `pwsh -NoProfile -Command X X`, `pwsh -ep x -c X`, `pwsh -File x -c x`, `fish -ic X`, `fish --command=X`,
		`awk X x`, `awk -F : -v a=x X x`, `awk -f prog.awk x`, `gawk --source X x`, `sudo awk X x`, `sed X x`, `sed -n -e X x`, `sed -i.bak -e X x`,
		`sed -f x x`, `sed x -e X`, `sed --expression=X x`, `busybox sed X x`,
		`sed --expr=X x`, `sed --fi x x`, `script --comm=X`, `env --split=X`, `gawk --sour=X x`, `pwsh -comm X`, `pwsh -enc X`, `node -pe X`, `perl -MX -e X`, `perl -CSe X`,
		`perl -pi.bak -e X`, `bash-static -c X`, `python3-dbg -c X`, `osascript -e X`, `deno eval X`, `deno run x x`, `npx -c X`, `npx x x`,
		`make V=X`, `make -f x x V=X`, `tar -I X -xf x`, `tar xf x --to-command=X`, `tar -cf x x x`, `scp -o X x x`, `scp x x`, `rsync -e X x x`, `rsync -a x x`,
		`git -c X x`, `git clone --upload-pack=X x`, `git ls-remote --upload X x`, `git fetch x`, `watch X X`, `parallel X X X`, `tmux X X`, `start-stop-daemon -S -x /bin/sh -- -c X`,
		`linux64 sed X x`, `chronic awk X x`, `eatmydata sed X x`, `env BASH_ENV=X bash x`, `docker run --env=GIT_SSH_COMMAND=X x`, `env LANG=x x`,
		`grep -c sh x`, `useradd -s /bin/bash -c x x`, `apt-get install -y gawk x`, `systemctl restart ssh x x`, `kill -s x`, `echo x`, `cat x`,
		`./check -c x`, `test -e x`, `curl -e x x`, ``, `sh`, `sh -c`, `su -c`, `python -c`, `-c x`, `sh - -c x`, `bash - x`,
	} {
		words := strings.Fields(command)
		var want, got []int
		for i, word := range words {
			if strings.Contains(word, "X") {
				want = append(want, i)
			}
		}
		for _, text := range programTexts(words) {
			if text.at >= 0 {
				got = append(got, text.at)
			}
		}
		slices.Sort(got)
		if !slices.Equal(slices.Compact(got), want) {
			t.Errorf("%s: the words %v are run, not %v", command, got, want)
		}
	}
}

// TestB17CommandsOfVeryManyWordsAreRefused counts the words of a command that has values, and of a text of a shell; other commands may have as many as they like.
func TestB17CommandsOfVeryManyWordsAreRefused(t *testing.T) {
	for _, marked := range []bool{false, true} {
		value := map[bool]string{false: "{{V}}", true: "${ data.v }"}[marked]
		words, err := splitWords(strings.Repeat("sh ", maxWords)+value, marked)
		if err != nil {
			t.Fatal(err)
		}
		if err := interpreted(words, texts(words), false); err == nil || !strings.Contains(err.Error(), "1001 words") {
			t.Errorf("error %v", err)
		}
		if err := interpreted(words[1:], texts(words[1:]), false); err != nil {
			t.Errorf("as many as may be: %v", err)
		}
		if err := interpreted(words[:maxWords], texts(words[:maxWords]), false); err != nil {
			t.Errorf("without a value: %v", err)
		}
	}
	if text := strings.Repeat("bash -c ", maxWords); !interpreters().runInput(text) {
		t.Error("a text of very many words is taken for one that does not run its input")
	}
}

// TestB17ProgramsFromInput holds which commands run what stands on their standard input.
func TestB17ProgramsFromInput(t *testing.T) {
	for command, want := range map[string]bool{
		"sh": true, "bash -s x": true, "bash -e": true, "sudo bash": true, "python3": true, "python3 -": true, "python3 - x": true, "perl": true, "node": true,
		"sh script": false, "sh -c cat": false, "python3 -c x": false, "python3 -m json.tool": false, "perl -ne print": false, "cat": false, "awk {print}": false,
		"which bash": false, "pwsh -Command x": false, "xargs -n1 echo": false,
		"bash /dev/stdin": true, "bash /dev/fd/0": true, "sh -c sh": true, "sh -c cat|sh": true, "xargs -I@ sh -c @": true, "xargs -i sh -c {}": true, "xargs sh -c": true,
		"xargs -n1 sh -c x": false, "xargs ssh x": true, "su nobody": true, "su - nobody -s /bin/sh": true, "su nobody -c x": false, "ssh x": true, "ssh x x": false, "chroot /": true,
		"chroot / x": false, "nsenter -t 1 -m": true, "nsenter -t 1 -m x": false, "unshare -m": true, "unshare -m x": false, "sudo -s": true, "sudo -u x x": false,
		"sudo -i x": false, "script /dev/null": true, "script -c x": false, "at now": true, "at -f x now": false, "make -f -": true, "make -f x x": false,
		"sed -f - x": true, "sed s/x/y/ -": false, "awk -f /dev/stdin x": true, "sed --file=- x": true, "tclsh": true, "m4": true, ". /dev/stdin": false, "sh -c source": true, "osascript": true, "parallel": true,
	} {
		got := slices.ContainsFunc(programTexts(strings.Fields(command)), func(p programText) bool { return p.at < 0 })
		if got != want {
			t.Errorf("%s: %t", command, got)
		}
	}
}

func FuzzProgramTexts(f *testing.F) {
	for _, command := range []string{"bash -euo pipefail -c X x", "ssh -o X host x", "env -S X", "perl -i.bak -pe X", "sed --expression=X x", "sh -\xff"} {
		f.Add(command)
	}
	f.Fuzz(func(t *testing.T, command string) {
		words := strings.Fields(command)
		for _, text := range programTexts(words) {
			if text.at >= len(words) || text.at < -1 {
				t.Error(fmt.Sprint(text))
			}
		}
	})
}
