"""A domain of Active Directory, made by Samba, with the accounts of the test: `domain.py FOLDER RIGHT`, with smb.conf in the
folder, and what the manual gives to the host's account."""

import logging
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.dsdb import DS_DOMAIN_FUNCTION_2008_R2
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.provision import provision
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

SUFFIX = "DC=example,DC=org"
PEOPLE = f"OU=people,{SUFFIX}"
folder, right = sys.argv[1:]

lp = LoadParm()
lp.load(folder + "/smb.conf")
provision(
    logging.getLogger(),
    system_session(),
    smbconf=folder + "/smb.conf",
    lp=lp,
    realm="EXAMPLE.ORG",
    domain="EXAMPLE",
    hostname="dc1",
    hostip="127.0.0.1",
    adminpass="Password-of-Administrator-1",
    serverrole="active directory domain controller",
    dom_for_fun_level=DS_DOMAIN_FUNCTION_2008_R2,
    dns_backend="NONE",
    # Nobody asks this one for files.
    skip_sysvolacl=True,
)

sam = SamDB(session_info=system_session(), lp=lp)
sam.transaction_start()
for unit in (PEOPLE, f"OU=many,{SUFFIX}"):
    sam.create_ou(unit)
for name in ("remit", "alice", "bob", "gone"):
    sam.newuser(name, f"Password-of-{name}-1", userou="OU=people")
sam.disable_account("(sAMAccountName=gone)")
sam.newcomputer("box", computerou="OU=people")

# A name that is a filter and a list of names.
odd = ldb.Dn(sam, f"CN=x,{PEOPLE}")
odd.set_component(0, "CN", "Odd, (one) *\\ \u00fc")
sam.add({"dn": odd, "objectClass": "user", "sAMAccountName": "odd )(x\u00fc", "userPrincipalName": "odd@example.org"})
sam.setpassword("(userPrincipalName=odd@example.org)", "Password-of-odd-1")
sam.enable_account("(userPrincipalName=odd@example.org)")

# bob is a member of staff, and staff of everyone.
for group, member in (("staff", f"CN=bob,{PEOPLE}"), ("everyone", f"CN=staff,{PEOPLE}")):
    sam.newgroup(group, groupou="OU=people")
    change = ldb.Message(ldb.Dn(sam, f"CN={group},{PEOPLE}"))
    change["member"] = ldb.MessageElement(member, ldb.FLAG_MOD_ADD, "member")
    sam.modify(change)

# More than Active Directory gives in one answer.
for number in range(1100):
    name = f"m{number:04}"
    sam.add({"dn": f"CN={name},OU=many,{SUFFIX}", "objectClass": "user", "sAMAccountName": name})

# Three wrong passwords lock an account out.
domain = ldb.Message(ldb.Dn(sam, SUFFIX))
domain["lockoutThreshold"] = ldb.MessageElement("3", ldb.FLAG_MOD_REPLACE, "lockoutThreshold")
sam.modify(domain)

found = sam.search(f"CN=remit,{PEOPLE}", ldb.SCOPE_BASE, attrs=["objectSid"])
sid = ndr_unpack(security.dom_sid, found[0]["objectSid"][0])
SDUtils(sam).dacl_add_ace(PEOPLE, right.replace("S-1-5-21-\u2026", str(sid)))
sam.transaction_commit()
