"""AWS as moto plays it: IAM and Secrets Manager, with signatures and policies enforced.

Prints a line of JSON with the port once it listens. Then each line of its input is a call for boto3, as the administrator:
{"service": "iam", "call": "list_access_keys", "with": {"UserName": "ci"}}; the answer is a line of JSON, an error is
{"error": CODE}. It ends with its input.
"""

import json
import logging
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import settings
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
clients = {}


def answer(asked):
    service = asked["service"]
    if service not in clients:
        clients[service] = client(service, key["AccessKeyId"], key["SecretAccessKey"])
    try:
        found = getattr(clients[service], asked["call"])(**asked["with"])
        del found["ResponseMetadata"]
        return found
    except ClientError as error:
        return {"error": error.response["Error"]["Code"]}


print(json.dumps({"address": address}), file=ours, flush=True)
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line)), default=str), file=ours, flush=True)
