// Disables the accounts that nobody has used for a number of days.
package main

import (
	"fmt"
	"strings"

	"github.com/remit/remit/sdk/go"
	"github.com/remit/remit/sdk/go/accounts"
	"github.com/remit/remit/sdk/go/log"
)

const day = 24 * 60 * 60 * 1000

// Input says where to look, and for whom.
type Input struct {
	// Where to look: `directory`.
	Places []string `json:"places"`
	// Who was not used for so many days is disabled.
	UnusedDays uint64 `json:"unused_days"`
	// The groups whose members are left alone.
	Except []string `json:"except"`
	// Whether accounts are disabled of which nothing says that they were ever used: "leave" or "disable".
	NeverUsed string `json:"never_used"`
}

// Output is what was done, by paths.
type Output struct {
	Disabled []string `json:"disabled"`
	// Who would have been disabled, but for the groups that they are in.
	Excepted []string `json:"excepted"`
	// Of whom nothing says when they were used last.
	Unknown []string `json:"unknown"`
	// Who was used, or changed, while this went on.
	Meanwhile []string `json:"meanwhile"`
}

type judgement int

const (
	inUse judgement = iota
	stale
	excepted
	unknown
)

// before is the moment since which an account must have been used, in milliseconds.
func (in Input) before() uint64 {
	return remit.Run().Started - in.UnusedDays*day
}

func (in Input) judge(account accounts.Account) judgement {
	if account.State != accounts.AccountStateEnabled {
		return inUse
	}
	used := account.LastUsed
	if used == nil && in.NeverUsed == "disable" {
		// A new account was not used yet.
		used = account.Created
	}
	switch {
	case used == nil && len(in.of(account)) > 0:
		return excepted
	case used == nil:
		return unknown
	case *used >= in.before():
		return inUse
	case len(in.of(account)) > 0:
		return excepted
	}
	return stale
}

// of is the groups of an account whose members are left alone. Directories take small letters for large ones.
func (in Input) of(account accounts.Account) (found []string) {
	for _, group := range account.Groups {
		for _, except := range in.Except {
			if strings.EqualFold(group, except) {
				found = append(found, except)
			}
		}
	}
	return found
}

func run(in Input) (Output, error) {
	out := Output{[]string{}, []string{}, []string{}, []string{}}
	var candidates []string
	seen := map[string]bool{}
	for _, place := range in.Places {
		all, err := accounts.InspectList(place)
		if err != nil {
			return out, err
		}
		for _, account := range all {
			for _, group := range in.of(account) {
				seen[group] = true
			}
			switch in.judge(account) {
			case stale:
				candidates = append(candidates, account.Path)
			case excepted:
				out.Excepted = append(out.Excepted, account.Path)
			case unknown:
				out.Unknown = append(out.Unknown, account.Path)
			}
		}
	}
	// A group that is misspelt would protect nobody, and neither would a system that tells no groups.
	for _, group := range in.Except {
		if !seen[group] {
			return out, fmt.Errorf("no account is in the group %s: nothing is disabled", group)
		}
	}
	for _, path := range candidates {
		// Looking at many takes time, in which somebody can sign in.
		now, err := accounts.InspectGet(path)
		if err != nil {
			return out, err
		}
		if in.judge(now) != stale {
			log.Info("%s was used or changed meanwhile", path)
			out.Meanwhile = append(out.Meanwhile, path)
			continue
		}
		if err := accounts.Disable(path); err != nil {
			return out, err
		}
		out.Disabled = append(out.Disabled, path)
	}
	log.Info("%d accounts disabled, %d left alone by their groups, %d of which nothing is known", len(out.Disabled), len(out.Excepted), len(out.Unknown))
	return out, nil
}

func verify(_ Input, out Output) error {
	for _, path := range out.Disabled {
		now, err := accounts.InspectGet(path)
		if err != nil {
			return err
		}
		if now.State != accounts.AccountStateDisabled {
			return fmt.Errorf("%s can still be used", path)
		}
	}
	return nil
}

func init() { remit.Action(run, verify) }

func main() {}
