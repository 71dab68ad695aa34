"""AWS as moto plays it: IAM and Secrets Manager, with signatures and policies enforced.

Prints a line of JSON with the port once it listens. Then each line of its input is a call for boto3, as the administrator:
{"service": "iam", "call": "list_access_keys", "with": {"UserName": "ci"}}; with "as": [ID, SECRET] it is a call of whoever has that
key. The answer is a line of JSON, an error is {"error": CODE}. It ends with its input.

{"service": "moto", "call": "used", "with": {"UserName": "ci", "Days": 200}} says when a user was used last: its password, if it has one,
and each of its keys. A user that is not named was never used.
"""

import json
import logging
import sys
from datetime import datetime, timedelta, timezone

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import AccessKeyLastUsed, AWSManagedPolicy, iam_backends
from moto.secretsmanager.models import SecretsManagerBackend
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").disabled = True
# The port that is free is known only once it listens. It says that on the standard output, which is ours.
ours, sys.stdout = sys.stdout, sys.stderr
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
address = "http://%s:%s" % server.get_host_and_port()

# What is current is there twice in moto, and only one of the two is moved by this call.
move = SecretsManagerBackend.update_secret_version_stage


def moved(self, secret_id, version_stage, remove_from_version_id, move_to_version_id):
    answer = move(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
    if version_stage == "AWSCURRENT":
        self.secrets[secret_id].default_version_id = move_to_version_id
    return answer


SecretsManagerBackend.update_secret_version_stage = moved

iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
# Of the policies that AWS keeps in every account, the one that is used here: to load all of them takes seconds.
deny_all = AWSManagedPolicy.from_data(
    "AWSDenyAll",
    DEFAULT_ACCOUNT_ID,
    "us-east-1",
    {
        "CreateDate": "2019-05-01T22:36:14+00:00",
        "DefaultVersionId": "v2",
        "Document": {
            "Version": "2012-10-17",
            "Statement": [{"Sid": "DenyAll", "Effect": "Deny", "Action": ["*"], "Resource": "*"}],
        },
        "Path": "/",
        "UpdateDate": "2023-12-18T16:42:05+00:00",
    },
)
iam.managed_policies[deny_all.arn] = deny_all


def client(service, key, secret):
    return boto3.client(
        service,
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


# Whoever comes first makes the administrator. From then on everybody has to prove who they are, and what they may do.
founder = client("iam", "nobody", "nothing")
founder.create_user(UserName="admin")
everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
founder.put_user_policy(UserName="admin", PolicyName="all", PolicyDocument=json.dumps(everything))
key = founder.create_access_key(UserName="admin")["AccessKey"]
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
administrator = (key["AccessKeyId"], key["SecretAccessKey"])
clients = {}


def used(UserName, Days):
    at = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(days=Days)
    user = iam.users[UserName]
    if user.password:
        user.password_last_used = at
    for key in user.access_keys:
        key.last_used = AccessKeyLastUsed(timestamp=at, service="iam", region="us-east-1")
    return {}


def answer(asked):
    if asked["service"] == "moto":
        return used(**asked["with"])
    whose = (asked["service"], *asked.get("as", administrator))
    if whose not in clients:
        clients[whose] = client(*whose)
    try:
        found = getattr(clients[whose], asked["call"])(**asked["with"])
        del found["ResponseMetadata"]
        return found
    except ClientError as error:
        return {"error": error.response["Error"]["Code"]}


print(json.dumps({"address": address}), file=ours, flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line)), default=str), file=ours, flush=True)
