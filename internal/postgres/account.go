package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is who Postgres runs as.
type account struct {
	uid, gid uint32
	other    bool // not the server's own account: Postgres refuses root
}

// chooseAccount is the server's own account, unless that is root: then whoever
// owns the cluster, or for a new one "postgres", else "nobody". The owner comes
// first so that a cluster is not locked out when an account of that name
// appears later.
func chooseAccount(cluster string) (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		return account{uid: uint32(uid), gid: uint32(os.Getegid())}, nil
	}
	if uid, gid, err := owner(cluster); err == nil && uid != 0 {
		return account{uid: uid, gid: gid, other: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if a, err := lookUp(name); err == nil && a.uid != 0 {
			return a, nil
		}
	}
	return account{}, errors.New("postgres does not run as root, and there is no account postgres or nobody to run it as: start the server as an ordinary user")
}

func lookUp(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return account{uid: uint32(uid), gid: uint32(gid), other: true}, err
}

// owner does not follow a symbolic link.
func owner(path string) (uid, gid uint32, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("no owner known of %s", path)
	}
	return stat.Uid, stat.Gid, nil
}

// own gives path to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// adopt gives the account a whole cluster that root owns, as a restored backup
// may be.
func (a account) adopt(cluster string) error {
	uid, _, err := owner(cluster)
	if err != nil || uid == a.uid || uid != 0 {
		return err
	}
	return filepath.WalkDir(cluster, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return a.own(path)
	})
}

// canWalkTo says whether the account may pass every directory above path, by
// their modes alone.
func (a account) canWalkTo(path string) (bool, error) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return false, err
		}
		uid, gid, err := owner(dir)
		if err != nil {
			return false, err
		}
		if info.Mode().Perm()&a.searchBit(uid, gid) == 0 {
			return false, nil
		}
		if dir == filepath.Dir(dir) {
			return true, nil
		}
	}
}

// searchBit is the permission that counts for the account on a directory of
// this owner and group.
func (a account) searchBit(uid, gid uint32) fs.FileMode {
	switch {
	case uid == a.uid:
		return 0o100
	case gid == a.gid:
		return 0o010
	default:
		return 0o001
	}
}

// credential is nil for the server's own account: only root may set one.
func (a account) credential() *syscall.Credential {
	if !a.other {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}
