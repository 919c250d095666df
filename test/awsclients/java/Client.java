import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.retry.AwsRetryStrategy;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.bedrockagentcore.BedrockAgentCoreClient;
import software.amazon.awssdk.services.bedrockagentcore.BedrockAgentCoreClientBuilder;
import software.amazon.awssdk.services.bedrockagentcore.model.BedrockAgentCoreException;
import software.amazon.awssdk.services.bedrockagentcore.model.InvokeAgentRuntimeResponse;
import software.amazon.awssdk.services.bedrockagentcore.model.ValidationException;
import software.amazon.awssdk.thirdparty.jackson.core.JsonFactory;
import software.amazon.awssdk.thirdparty.jackson.core.StreamReadConstraints;

/** Calls a gateway with AWS's client for Java: reads invocations and writes outcomes, a line each. */
class Client {
  final String url, region, key;
  final BedrockAgentCoreClient right, once;
  final ExecutorService threads = Executors.newCachedThreadPool();

  Client(String url, String region, String key, String secret) {
    this.url = url;
    this.region = region;
    this.key = key;
    right = client(secret).build();
    once = client(secret).overrideConfiguration(c -> c.retryStrategy(AwsRetryStrategy.doNotRetry())).build();
  }

  BedrockAgentCoreClientBuilder client(String secret) {
    return BedrockAgentCoreClient.builder()
        .endpointOverride(URI.create(url))
        .region(Region.of(region))
        .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create(key, secret)));
  }

  void stop(BedrockAgentCoreClient aws, Invocation given, Map<String, Object> outcome) {
    var answer = aws.stopRuntimeSession(r -> r
        .agentRuntimeArn(given.text("runtime")).runtimeSessionId(given.text("session"))
        .qualifier(given.text("qualifier")).clientToken(given.text("token")));
    outcome.put("code", answer.statusCode());
    outcome.put("session", answer.runtimeSessionId());
  }

  void invoke(BedrockAgentCoreClient aws, Invocation given, Map<String, Object> outcome) throws IOException {
    ResponseInputStream<InvokeAgentRuntimeResponse> body = aws.invokeAgentRuntime(r -> r
        .agentRuntimeArn(given.text("runtime")).runtimeSessionId(given.text("session"))
        .qualifier(given.text("qualifier")).accountId(given.text("account"))
        .payload(SdkBytes.fromUtf8String(given.payload())));
    outcome.put("code", body.response().statusCode());
    outcome.put("session", body.response().runtimeSessionId());
    outcome.put("contentType", body.response().contentType());
    var read = new ByteArrayOutputStream();
    if (!given.op().equals("invoke")) {
      // A stream: its first line, and all of it if it is stopped after that.
      for (int b = 0; b != '\n'; read.write(b)) {
        b = body.read();
        if (b < 0) {
          throw new EOFException("in the first line");
        }
      }
    }
    if (given.op().equals("first")) {
      body.abort(); // close would read the rest
    } else {
      if (given.op().equals("stopped")) {
        stop(aws, given, new HashMap<>());
      }
      body.transferTo(read);
    }
    outcome.put("body", read.toString("UTF-8"));
  }

  Map<String, Object> outcome(Invocation given) {
    var outcome = new HashMap<String, Object>();
    var aws = given.text("secret") != null ? client(given.text("secret")).build() : given.once() ? once : right;
    try {
      if (given.op().equals("stop")) {
        stop(aws, given, outcome);
      } else {
        invoke(aws, given, outcome);
      }
    } catch (BedrockAgentCoreException e) {
      // A typed exception, not the one for whatever is unknown.
      outcome.put("error", e.getClass() == BedrockAgentCoreException.class
          ? "untyped " + e.awsErrorDetails().errorCode() : e.getClass().getSimpleName());
      outcome.put("message", e.awsErrorDetails().errorMessage());
      if (e instanceof ValidationException) {
        var invalid = (ValidationException) e;
        outcome.put("reason", invalid.reasonAsString());
        var fields = new ArrayList<String>();
        invalid.fieldList().forEach(field -> fields.add(field.name()));
        outcome.put("fields", fields);
      }
    } catch (Exception e) {
      outcome.put("error", e.getClass().getSimpleName());
      outcome.put("message", e.toString());
    }
    return outcome;
  }

  Map<String, Object> all(Invocation given) throws Exception {
    List<Callable<Map<String, Object>>> calls = Collections.nCopies(given.times(), () -> outcome(given));
    Map<String, Object> first = null;
    for (Future<Map<String, Object>> one : threads.invokeAll(calls)) {
      if (first == null || one.get().containsKey("error")) {
        first = one.get();
      }
    }
    return first;
  }

  static byte[] line(Map<String, Object> outcome) {
    var json = JsonWriter.create();
    json.writeStartObject();
    outcome.forEach((name, value) -> {
      json.writeFieldName(name);
      if (value instanceof Integer) {
        json.writeValue((Integer) value);
      } else if (value instanceof List) {
        json.writeStartArray();
        ((List<?>) value).forEach(one -> json.writeValue((String) one));
        json.writeEndArray();
      } else {
        json.writeValue((String) value);
      }
    });
    json.writeEndObject();
    return json.getBytes();
  }

  /** What a check asks. */
  static class Invocation {
    final JsonNode json;

    Invocation(JsonNode json) {
      this.json = json;
    }

    String text(String name) {
      return json.field(name).map(JsonNode::asString).orElse(null);
    }

    String op() {
      return text("op");
    }

    String payload() {
      return json.field("payload").map(JsonNode::asString).orElse("");
    }

    boolean once() {
      return json.field("once").map(JsonNode::asBoolean).orElse(false);
    }

    int times() {
      return json.field("times").map(n -> Integer.parseInt(n.asNumber())).orElse(1);
    }
  }

  public static void main(String[] args) throws Exception {
    var client = new Client(args[0], args[1], args[2], args[3]);
    // A payload may be longer than the 20 MB that the parser takes by default.
    var any = StreamReadConstraints.builder().maxStringLength(Integer.MAX_VALUE).build();
    var parser = JsonNode.parserBuilder().jsonFactory(JsonFactory.builder().streamReadConstraints(any).build()).build();
    var in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
    var out = new PrintStream(System.out, false, "UTF-8");
    for (String line; (line = in.readLine()) != null; ) {
      out.write(line(client.all(new Invocation(parser.parse(line)))));
      out.write('\n');
      out.flush();
    }
    System.exit(0); // its threads would go on
  }
}
