"""Creates the bucket for artifacts when it is not there; run once, before the tracking server starts."""

from __future__ import annotations

import os
import sys

import boto3
from botocore.exceptions import ClientError


def ensure_bucket(client, bucket: str) -> bool:
    """Creates `bucket` unless this account has it already.

    Returns:
        Whether it was created.

    Raises:
        ClientError: The store refused: wrong keys, or the name belongs to another account.
    """
    try:
        client.head_bucket(Bucket=bucket)
        return False
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    client.create_bucket(Bucket=bucket)
    return True


def main() -> int:
    bucket = sys.argv[1]
    created = ensure_bucket(boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"]), bucket)
    print(f"bucket {bucket}: {'created' if created else 'already there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
