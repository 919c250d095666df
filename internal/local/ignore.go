package local

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// noCode are names of what tools keep beside the code, of what an editor has while it writes,
// and of what programs write: logs and databases.
var noCode = regexp.MustCompile(`^(node_modules|__pycache__|4913|\..*|#.*#)$|(~|\.pyc|\.tmp|\.swp|___jb_tmp___|___jb_old___|\.log(\.\d+)?|\.pid|\.(db|sqlite3?)(-journal|-wal|-shm)?)$`)

// isNoCode tells whether a file or folder with a name makes no version. (4913 is Vim's.)
func isNoCode(name string) bool { return name != dotenv && noCode.MatchString(name) }

// dotenv is what agents read their settings from. That it must not be committed says nothing.
const dotenv = ".env"

// gitPatience is how long git may take to say what it ignores.
const gitPatience = 5 * time.Second

// ignoredByGit are those paths below a folder that git ignores, which has more rules than
// .gitignore. None are where there is no git, or no work tree.
func ignoredByGit(ctx context.Context, folder string, paths []string) map[string]bool {
	ctx, cancel := context.WithTimeout(ctx, gitPatience)
	defer cancel()
	git := exec.CommandContext(ctx, "git", "-C", folder, "check-ignore", "-z", "--stdin") //nolint:gosec // the user's folder
	git.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0")
	git.Stdin = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	git.WaitDelay = time.Second
	out, err := git.Output()
	if err != nil { // with status 1 it ignores none
		return nil
	}
	ignored := map[string]bool{}
	for path := range bytes.SplitSeq(out, []byte("\x00")) {
		ignored[string(path)] = filepath.Base(string(path)) != dotenv
	}
	return ignored
}
