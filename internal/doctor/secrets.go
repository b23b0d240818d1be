package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"gatehouse/internal/config"
)

// modeOfOthers are the permissions of accounts that are neither the owner of a file nor in its group.
const modeOfOthers fs.FileMode = 0o007

// Secret is a secret of the configuration.
type Secret struct {
	// Setting is the name of the flag, without dashes.
	Setting string
	Value   config.Secret
	// Path is the file that contains the value; "" if it was configured otherwise.
	Path string
	// Err is why the file cannot be used. It wraps fs.ErrNotExist for a file that the server will generate.
	Err error
	// Visible reports whether the value is in the arguments of the process, which other accounts can list.
	Visible bool
	// Guessable reports whether clients or gateways authenticate with the secret, so that its length is checked. The
	// others are passwords of Postgres and the Redis.
	Guessable bool
}

// SecretsConfig configures CheckSecrets.
type SecretsConfig struct {
	Secrets []Secret
	// Shared is the flag of an admin secret that is also a secret of gateways; "" if there is none.
	Shared string
	// DataDir is the data directory, whose owner may own files of secrets; "" if there is none.
	DataDir string
	// SettingsFile is the path of the settings file if it contains a secret; otherwise "".
	SettingsFile string
}

const nameSecrets = "secrets"

// CheckSecrets checks the length of secrets, and the owner and the mode of the files that contain them.
func CheckSecrets(cfg SecretsConfig) Check {
	return Check{nameSecrets, func(context.Context) []Finding {
		var findings []Finding
		for _, each := range cfg.Secrets {
			findings = append(findings, cfg.check(each)...)
		}
		if cfg.Shared != "" {
			findings = append(findings, Finding{
				nameSecrets, Warning, "--" + cfg.Shared + " is also a secret of gateways: every gateway knows it",
				"change one of the two",
			})
		}
		if cfg.SettingsFile != "" {
			findings = append(findings, cfg.checkFile("settings file", cfg.SettingsFile)...)
		}
		findings = append(findings, checkDirectory(cfg.DataDir)...)
		if findings == nil {
			return []Finding{{nameSecrets, OK, "long enough, and only the owner can read their files", ""}}
		}
		return findings
	}}
}

func (cfg SecretsConfig) check(secret Secret) (findings []Finding) {
	name := "--" + secret.Setting
	switch {
	case errors.Is(secret.Err, fs.ErrNotExist):
		return []Finding{{
			nameSecrets, Note, name + " is not set yet: the server generates it at its first start", "start the server",
		}}
	case secret.Err != nil:
		return []Finding{{
			nameSecrets, Fault, name + ": " + secret.Err.Error(), "correct the file: the server does not start without it",
		}}
	}
	if secret.Guessable && secret.Value.Short() {
		findings = append(findings, Finding{
			nameSecrets, Warning, fmt.Sprintf("%s has fewer than %d characters: it can be guessed", name, config.MinSecret),
			"set a random one, such as that of openssl rand -hex 16",
		})
	}
	if secret.Visible {
		findings = append(findings, Finding{
			nameSecrets, Warning, name + " is an argument of the program, which every account of the machine can list",
			"write it to a file, and set --" + secret.Setting + "-file",
		})
	}
	if secret.Path != "" {
		findings = append(findings, cfg.checkFile(name, secret.Path)...)
	}
	return findings
}

// checkFile checks the mode and the owner of a file that contains a secret.
func (cfg SecretsConfig) checkFile(what, path string) (findings []Finding) {
	info, err := os.Stat(path)
	if err != nil {
		return []Finding{{nameSecrets, Fault, what + ": " + err.Error(), "correct the file, or its path"}}
	}
	if mode := info.Mode().Perm(); info.Mode().IsRegular() && mode&modeOfOthers != 0 {
		findings = append(findings, Finding{
			nameSecrets, Warning, fmt.Sprintf("%s: every account has access to %s (mode %04o)", what, path, mode),
			"run chmod 600 " + path,
		})
	}
	if owner, known := ownerOf(info); known && !cfg.trusts(owner) {
		findings = append(findings, Finding{
			nameSecrets, Warning, fmt.Sprintf("%s: %s belongs to another account (uid %d), which can replace it", what, path,
				owner), fmt.Sprintf("run chown %d %s, with the uid of the server's account if that is another", os.Geteuid(), path),
		})
	}
	return findings
}

// trusts reports whether an account may own files of secrets: root, this account, and the owner of the data directory.
func (cfg SecretsConfig) trusts(uid uint32) bool {
	if uid == 0 || uid == uint32(os.Geteuid()) {
		return true
	}
	info, err := os.Stat(cfg.DataDir)
	if err != nil {
		return false
	}
	owner, known := ownerOf(info)
	return known && owner == uid
}

func ownerOf(info fs.FileInfo) (uid uint32, known bool) {
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return stat.Uid, true
}

// checkDirectory checks that no other account can replace the files of a directory.
func checkDirectory(dir string) []Finding {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o002 == 0 {
		return nil
	}
	return []Finding{{
		nameSecrets, Warning, fmt.Sprintf("every account can replace the files in %s (mode %04o)", dir, info.Mode().Perm()),
		"run chmod 711 " + dir,
	}}
}
