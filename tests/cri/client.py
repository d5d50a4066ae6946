"""Speaks Kubernetes' interface to container runtimes for tests: client.py SOCKET

Each line of stdin is a JSON list of a method and its request; each line of stdout is the response, or
{"error": "why"}. What can be called is what api.proto, beside this file, lists. The module that protoc makes of it
must be found by PYTHONPATH.
"""

import json
import sys

import grpc
from google.protobuf import json_format, message_factory

import api_pb2

LIMIT = 50


def methods(channel):
    """A function for each method, from its request to its response, as the JSON forms of both."""
    factory = message_factory.MessageFactory()
    for service in api_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            request = factory.GetPrototype(method.input_type)
            call = channel.unary_unary(
                f"/{service.full_name}/{method.name}",
                request_serializer=request.SerializeToString,
                response_deserializer=factory.GetPrototype(method.output_type).FromString,
            )
            yield method.name, lambda value, request=request, call=call: json_format.MessageToDict(
                call(json_format.ParseDict(value, request()), timeout=LIMIT), preserving_proto_field_name=True
            )


def main():
    # containerd refuses the socket's path as the name of a host
    channel = grpc.insecure_channel(f"unix:{sys.argv[1]}", [("grpc.default_authority", "localhost")])
    known = dict(methods(channel))
    for line in sys.stdin:
        method, request = json.loads(line)
        try:
            response = known[method](request)
        except grpc.RpcError as error:
            response = {"error": f"{method}: {error.details()}"}
        print(json.dumps(response), flush=True)


main()
